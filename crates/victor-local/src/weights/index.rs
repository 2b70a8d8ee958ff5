//! Where the Python package index keeps a wheel. Every index has a page of links for each package (packaging.python.org,
//! "Simple repository API").

use futures::StreamExt;
use reqwest::Url;

use super::download::Patience;
use super::error::WeightsError;
use super::http::Http;

/// The index where nothing says otherwise.
pub(super) const PYPI: &str = "https://pypi.org/simple";
/// The longest page that is read, in bytes: those of packages with thousands of files have some.
const PAGE: usize = 16 << 20;

/// The address of a package's wheel, found on its page.
///
/// # Errors
/// The index cannot be reached, or has no such wheel.
pub(super) async fn wheel(
    http: &dyn Http,
    patience: Patience,
    index: &str,
    package: &str,
    version: &str,
) -> Result<String, WeightsError> {
    let page = page_of(index, package).map_err(WeightsError::Source)?;
    // Some addresses hold a key, in their path or behind it.
    let host = page.host_str().unwrap_or_default();
    let fail = |why: String| WeightsError::Source(format!("the package index {host}: {why}"));
    let read = tokio::time::timeout(patience.silence, read(http, &page)).await;
    // What a page links to is seen from where it was found in the end.
    let (page, text) = read.map_err(|_| fail(format!("nothing came for {:.0?}", patience.silence)))?.map_err(fail)?;
    find(&page, &text, package, version).ok_or_else(|| fail(format!("it lists no wheel of version {version}")))
}

/// The page's address. One that carries a password is left to the programs that it was written for.
fn page_of(index: &str, package: &str) -> Result<Url, String> {
    let Ok(page) = Url::parse(&format!("{}/{}/", index.trim_end_matches('/'), normal(package).replace('_', "-")))
    else {
        return Err("the address of the package index cannot be read".to_owned());
    };
    match page.scheme() {
        "http" | "https" if page.username().is_empty() && page.password().is_none() => Ok(page),
        "http" | "https" => Err("the address of the package index holds a password".to_owned()),
        other => Err(format!("the package index is reached by {other}")),
    }
}

async fn read(http: &dyn Http, page: &Url) -> Result<(Url, String), String> {
    let answer = http.get(page.as_str(), None).await?;
    let page = Url::parse(&answer.url).map_err(|_| "the address that it leads to cannot be read")?;
    let mut body = answer.body;
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > PAGE {
            return Err("its page is too long".to_owned());
        }
    }
    Ok((page, String::from_utf8_lossy(&bytes).into_owned()))
}

/// The link to the wheel of this version.
fn find(page: &Url, text: &str, package: &str, version: &str) -> Option<String> {
    let start = format!("{}-{version}-", normal(package));
    links(text).find_map(|link| {
        let mut url = page.join(&link.replace("&amp;", "&")).ok()?;
        url.set_fragment(None);
        // As with redirects: nothing leads from https to an address without it.
        if page.scheme() == "https" && url.scheme() != "https" {
            return None;
        }
        let file = url.path_segments()?.next_back()?.replace("%2B", "+");
        let (name, rest) = file.split_once('-')?;
        let is_it = format!("{}-{rest}", normal(name)).starts_with(&start) && file.ends_with(".whl");
        is_it.then(|| url.into())
    })
}

/// The targets of a page's links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("href=").skip(1).filter_map(|rest| {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        rest[1..].split_once(quote).map(|(link, _)| link)
    })
}

/// A package's name as the names of wheels have it.
fn normal(name: &str) -> String {
    let parts: Vec<_> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("_").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_of_the_version_is_found_whatever_the_page_looks_like() {
        let page = page_of("https://index.example/simple/", "Some.Model").unwrap();
        assert_eq!(page.as_str(), "https://index.example/simple/some-model/");
        let text = r#"<a href="../../files/some_model-1.0.tar.gz#sha256=aa">x</a>
            <a href="/f/some_model-1.0.1-py3-none-any.whl">x</a>
            <a href="/f/some_model_more-1.0-py3-none-any.whl">x</a>
            <a data-x="1" href='../../files/Some_Model-1.0-py3-none-any.whl?a=1&amp;b=2#sha256=bb'>x</a>"#;
        let found = find(&page, text, "Some.Model", "1.0").unwrap();
        assert_eq!(found, "https://index.example/files/Some_Model-1.0-py3-none-any.whl?a=1&b=2");
        assert_eq!(find(&page, text, "some-model", "2.0"), None);
    }

    #[test]
    fn a_password_is_never_sent_by_this_client() {
        for index in ["https://me:secret@index.example/simple", "file:///packages", "index.example"] {
            assert!(!page_of(index, "x").unwrap_err().contains("secret"));
        }
    }
}
