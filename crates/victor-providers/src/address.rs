//! Base URLs in the forms that people write them, brought to one.

use reqwest::Url;

use crate::settings::Wire;

/// The port of an Ollama server.
const OLLAMA_PORT: u16 = 11434;

/// A base URL that ends in its version part, without a slash after it; an address without any path gets `/v1`.
pub(crate) fn base_url(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&with_scheme).map_err(|e| format!("`{text}` is no address: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("`{text}` is no http or https address"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(if path.is_empty() { "/v1" } else { &path });
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// The base URL in an `OLLAMA_HOST` value: `host`, `host:port`, `:port` or a URL; `0.0.0.0` means this machine.
pub(crate) fn ollama_host(text: &str) -> Result<Url, String> {
    let text = text.trim().trim_matches(['"', '\'']);
    let mut url = match text.split_once("://") {
        Some(_) => base_url(text)?,
        None => {
            let host = if text.starts_with(':') { format!("127.0.0.1{text}") } else { text.to_owned() };
            let mut url = base_url(&host)?;
            if url.port().is_none() {
                let _ = url.set_port(Some(OLLAMA_PORT));
            }
            url
        }
    };
    if matches!(url.host_str(), Some("0.0.0.0" | "[::]")) {
        let _ = url.set_host(Some("127.0.0.1"));
    }
    Ok(url)
}

/// Whether the address is this machine's own.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The address of `path` below the base.
pub(crate) fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url
}

/// The headers that show the key on this wire.
pub(crate) fn key_header(wire: Wire, key: &str) -> (&'static str, String) {
    match wire {
        Wire::OpenaiChat => ("authorization", format!("Bearer {key}")),
        Wire::Anthropic => ("x-api-key", key.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_with_and_without_version_mean_the_same() {
        for form in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/", "h:1"] {
            let url = join(&base_url(form).unwrap(), "/messages");
            assert_eq!(url.as_str(), "http://h:1/v1/messages", "{form}");
        }
        assert_eq!(base_url("https://x.example/openai/").unwrap().as_str(), "https://x.example/openai");
        assert!(base_url("ftp://x").is_err());
        assert!(base_url("").is_err());
    }

    #[test]
    fn ollama_hosts_in_their_usual_forms() {
        let cases = [
            ("127.0.0.1", "http://127.0.0.1:11434/v1"),
            ("127.0.0.1:5", "http://127.0.0.1:5/v1"),
            (":5", "http://127.0.0.1:5/v1"),
            ("0.0.0.0", "http://127.0.0.1:11434/v1"),
            ("http://box:7/", "http://box:7/v1"),
            ("https://box", "https://box/v1"),
            ("box", "http://box:11434/v1"),
        ];
        for (form, expected) in cases {
            assert_eq!(ollama_host(form).unwrap().as_str(), expected, "{form}");
        }
    }

    #[test]
    fn loopback_in_all_its_forms() {
        for url in ["http://localhost:1", "http://127.0.0.5", "http://[::1]:8"] {
            assert!(is_loopback(&base_url(url).unwrap()), "{url}");
        }
        assert!(!is_loopback(&base_url("http://10.0.0.1").unwrap()));
        assert!(!is_loopback(&base_url("http://localhost.example").unwrap()));
    }
}
