//! What the derive makes of a struct, and what it says to a wrong one.
#![allow(clippy::unwrap_used)]

use quote::quote;
use syn::parse2;

fn derived(input: proc_macro2::TokenStream) -> Result<String, String> {
    super::derive(&parse2(input).unwrap()).map(|code| code.to_string()).map_err(|e| e.to_string())
}

#[test]
fn name_and_description_come_from_the_struct() {
    let code = derived(quote! {
        /// Tells the size
        /// of a file.
        #[tool(effects(read, network))]
        struct FileSize { path: String }
    });
    let code = code.unwrap();
    for part in [r#""file_size""#, r#""Tells the size of a file.""#, "Effects :: READ", "Effects :: NETWORK"] {
        assert!(code.contains(part), "no {part} in {code}");
    }
}

#[test]
fn the_attribute_wins() {
    let code = derived(quote! {
        /// Internal.
        #[tool(name = "size", description = "Tells a size.", effects(none), crate = "victor_core")]
        pub struct FileSize { path: String }
    });
    let code = code.unwrap();
    for part in [r#""size""#, r#""Tells a size.""#, "victor_core :: tool :: tool_fn", "pub fn tool"] {
        assert!(code.contains(part), "no {part} in {code}");
    }
    assert!(!code.contains(":: victor ::"), "{code}");
}

#[test]
fn what_is_wrong_is_said() {
    let cases = [
        (
            quote!(
                #[doc = "A tool."]
                struct A;
            ),
            "say what the tool does at most",
        ),
        (
            quote!(
                #[tool(effects(none))]
                struct A;
            ),
            "a model has to know what the tool does",
        ),
        (
            quote!(
                #[doc = "A tool."]
                #[tool(effects())]
                struct A;
            ),
            "say `effects(none)`",
        ),
        (
            quote!(
                #[doc = "A tool."]
                #[tool(effects(red))]
                struct A;
            ),
            "no effect is called so; there are none, read",
        ),
        (
            quote!(
                #[doc = "A tool."]
                #[tool(effect(read))]
                struct A;
            ),
            "`#[tool(..)]` knows `name`",
        ),
        (
            quote!(
                #[doc = "A tool."]
                #[tool(name = "a b", effects(none))]
                struct A;
            ),
            "a tool's name has up to 64",
        ),
        (
            quote!(
                #[doc = "A tool."]
                #[tool(effects(none))]
                enum A {
                    B,
                }
            ),
            "a tool is made of a struct",
        ),
    ];
    for (input, message) in cases {
        let said = derived(input.clone()).unwrap_err();
        assert!(said.starts_with(message), "{input}: {said}");
    }
}
