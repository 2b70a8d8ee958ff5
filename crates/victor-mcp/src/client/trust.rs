//! Which addresses a login may use: a server at an address names others, and what is sent to them are codes, secrets and
//! tokens. Source: MCP, Security Best Practices, "Server-Side Request Forgery"; Authorization, "Communication Security".
//!
//! The protocol's library looks at the addresses that names lead to; here is what it leaves open.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use rmcp::transport::auth::AuthorizationMetadata;
use url::Host;

/// Takes an address that can log in: https, or this machine.
pub(super) fn check_server(server: &Url) -> Result<(), String> {
    if server.scheme() == "https" || is_local(server) {
        return Ok(());
    }
    Err(format!("`{server}`: logins need https, except on this machine; set a token (`bearer_env`) or use https"))
}

/// Takes what a server says of where one logs in, if all of it may be used.
pub(super) fn check(server: &Url, found: &AuthorizationMetadata) -> Result<(), String> {
    let named = [
        ("issuer", found.issuer.as_deref()),
        ("authorization_endpoint", Some(found.authorization_endpoint.as_str())),
        ("token_endpoint", Some(found.token_endpoint.as_str())),
        ("registration_endpoint", found.registration_endpoint.as_deref()),
    ];
    for (what, address) in named {
        let Some(address) = address else { continue };
        if let Some(why) = refusal(server, address) {
            return Err(format!("the server names `{address}` as its {what}: {why}"));
        }
    }
    Ok(())
}

/// Why an address is not to be used for a login to `server`.
fn refusal(server: &Url, address: &str) -> Option<&'static str> {
    let Ok(url) = Url::parse(address) else { return Some("that is no address") };
    match (url.scheme(), reach(&url)) {
        (_, Reach::Nobody) => Some("nobody logs in there"),
        (_, Reach::Machine) if reach(server) != Reach::Machine => Some("that is this machine, the server is not"),
        (_, Reach::Network) if reach(server) != Reach::Network => Some("that is a private network, the server is not"),
        ("https", _) | ("http", Reach::Machine) => None,
        _ => Some("logins need https, except on this machine"),
    }
}

/// From where an address can be reached, as far as it says so by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Machine,
    Network,
    /// Links, clouds' metadata, multicast: no server of logins is there.
    Nobody,
    World,
}

fn is_local(url: &Url) -> bool {
    reach(url) == Reach::Machine
}

fn reach(url: &Url) -> Reach {
    let Some(host) = url.host() else { return Reach::Nobody };
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if name == "localhost" || name.ends_with(".localhost") { Reach::Machine } else { Reach::World }
        }
        Host::Ipv4(ip) => reach_v4(ip),
        Host::Ipv6(ip) => reach_v6(ip),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [first, second, ..] = ip.octets();
    let shared = first == 100 && second & 0xc0 == 64;
    match ip {
        _ if ip.is_loopback() => Reach::Machine,
        _ if ip.is_private() || shared => Reach::Network,
        _ if first == 0 || ip.is_link_local() || ip.is_broadcast() || ip.is_multicast() => Reach::Nobody,
        _ => Reach::World,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    match ip.to_canonical() {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) if ip.is_loopback() => Reach::Machine,
        IpAddr::V6(ip) if ip.is_unique_local() => Reach::Network,
        IpAddr::V6(ip) if ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast() => Reach::Nobody,
        IpAddr::V6(_) => Reach::World,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_inside() {
        let public = Url::parse("https://mcp.example/mcp").unwrap();
        let why = |server: &Url, address: &str| refusal(server, address);
        for address in ["https://mcp.example/token", "https://auth.example:8443/", "https://93.184.216.34/token"] {
            assert_eq!(why(&public, address), None, "{address}");
        }
        for address in [
            "http://auth.example/token",
            "http://mcp.example/token",
            "http://169.254.169.254/latest/meta-data",
            "https://169.254.169.254/token",
            "https://[fe80::1]/token",
            "https://[::ffff:169.254.169.254]/token",
            "https://0.0.0.0/token",
            "https://127.0.0.1/token",
            "http://localhost:6379/",
            "https://api.localhost./token",
            "https://[::1]/token",
            "https://10.0.0.1/token",
            "https://192.168.1.1/token",
            "https://100.64.0.1/token",
            "https://[fd00::1]/token",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "token",
        ] {
            assert!(why(&public, address).is_some(), "{address}");
        }
        let local = Url::parse("http://127.0.0.1:3000/mcp").unwrap();
        assert_eq!(why(&local, "http://localhost:8080/token"), None);
        assert!(why(&local, "http://169.254.169.254/token").is_some());
        assert!(why(&local, "http://auth.example/token").is_some());
        assert!(why(&local, "https://10.0.0.1/token").is_some());
        let company = Url::parse("https://10.0.0.4/mcp").unwrap();
        assert_eq!(why(&company, "https://10.0.0.9/token"), None);
        assert!(why(&company, "http://10.0.0.9/token").is_some());
        assert!(why(&company, "https://127.0.0.1/token").is_some());
    }

    #[test]
    fn logins_need_https_beyond_this_machine() {
        let check = |url| check_server(&Url::parse(url).unwrap());
        assert!(check("https://mcp.example/mcp").is_ok());
        assert!(check("http://127.0.0.1:8081/mcp").is_ok());
        assert!(check("http://localhost:8081/mcp").is_ok());
        for url in ["http://mcp.example/mcp", "http://10.0.0.4/mcp", "http://localhost.example/mcp"] {
            assert!(check(url).is_err_and(|why| why.contains("logins need https")), "{url}");
        }
    }
}
