//! MCP servers written down and taken out.

use victor::config::McpServer;
use victor::mcp::{Scope, add, is_written, remove};

#[test]
fn an_address_that_is_none_is_not_written_down_and_what_is_not_there_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let scope = Scope::Project(folder.path().to_owned());
    let server = |url: &str| McpServer { url: Some(url.to_owned()), ..McpServer::default() };
    for url in ["nope", "file:///x", "http://"] {
        let error = add(&scope, "s", &server(url)).unwrap_err();
        assert!(error.message.contains(url), "{error}");
    }
    assert!(!remove(&scope, "s").unwrap() && !is_written(&scope, "s").unwrap() && !scope.file().exists());
    add(&scope, "s", &server("${ADDRESS}/mcp")).unwrap();
    add(&scope, "t", &server("https://example.org/mcp")).unwrap();
    assert!(is_written(&scope, "t").unwrap() && !is_written(&scope, "x").unwrap());
    assert!(remove(&scope, "t").unwrap() && !remove(&scope, "t").unwrap());
}
