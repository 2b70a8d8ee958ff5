//! What `#[derive(Tool)]` reads and writes.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Data, DeriveInput, Error, Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, parenthesized, parse_quote};

/// The effects by their name in the attribute; `none` is the empty set.
const EFFECTS: [(&str, &str); 7] = [
    ("none", "NONE"),
    ("read", "READ"),
    ("write", "WRITE"),
    ("execute", "EXECUTE"),
    ("network", "NETWORK"),
    ("agent", "AGENT"),
    ("unsandboxed", "UNSANDBOXED"),
];

/// What `#[tool(..)]` says.
#[derive(Default)]
struct Said {
    name: Option<LitStr>,
    description: Option<String>,
    effects: Option<Vec<Ident>>,
    root: Option<Path>,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream, Error> {
    let Data::Struct(_) = input.data else {
        return Err(Error::new_spanned(&input.ident, "a tool is made of a struct, whose fields are its arguments"));
    };
    let said = read(input)?;
    let (ident, vis) = (&input.ident, &input.vis);
    let (parts, types, condition) = input.generics.split_for_impl();
    let root = said.root.unwrap_or_else(|| parse_quote!(::victor));
    let name = match said.name {
        Some(name) => checked(&name)?,
        None => snake(&ident.to_string()),
    };
    let description = said.description.unwrap_or_else(|| doc(input));
    if description.is_empty() {
        let text = "a model has to know what the tool does: write a doc comment, or `#[tool(description = \"..\")]`";
        return Err(Error::new_spanned(ident, text));
    }
    let effects = said.effects.ok_or_else(|| {
        let text = "say what the tool does at most: `#[tool(effects(none))]`, or of read, write, execute, network, \
                    agent, unsandboxed";
        Error::new_spanned(ident, text)
    })?;
    let about = format!("The tool `{name}`, whose arguments are the fields.");
    Ok(quote! {
        impl #parts #ident #types #condition {
            #[doc = #about]
            #vis fn tool() -> ::std::sync::Arc<dyn #root::tool::DynTool> {
                #root::tool::tool_fn(
                    #name,
                    #description,
                    #root::tool::Effects::NONE #(| #root::tool::Effects::#effects)*,
                    |args: Self, cx: #root::tool::ToolCx| args.run(cx),
                )
            }
        }
    })
}

fn read(input: &DeriveInput) -> Result<Said, Error> {
    let mut said = Said::default();
    for attribute in input.attrs.iter().filter(|a| a.path().is_ident("tool")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                said.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("description") {
                said.description = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("crate") {
                said.root = Some(meta.value()?.parse::<LitStr>()?.parse()?);
            } else if meta.path.is_ident("effects") {
                said.effects = Some(effects(&meta)?);
            } else {
                return Err(meta.error("`#[tool(..)]` knows `name`, `description`, `effects` and `crate`"));
            }
            Ok(())
        })?;
    }
    Ok(said)
}

fn effects(meta: &ParseNestedMeta<'_>) -> Result<Vec<Ident>, Error> {
    let listed;
    parenthesized!(listed in meta.input);
    let names = listed.parse_terminated(<Ident as syn::ext::IdentExt>::parse_any, syn::Token![,])?;
    let known = |name: &Ident| EFFECTS.iter().find(|(n, _)| name == n).map(|(_, c)| Ident::new(c, name.span()));
    let found = names.iter().map(|name| {
        let names = EFFECTS.map(|(n, _)| n).join(", ");
        known(name).ok_or_else(|| Error::new(name.span(), format!("no effect is called so; there are {names}")))
    });
    match found.collect::<Result<Vec<_>, _>>()? {
        none if none.is_empty() => Err(meta.error("say `effects(none)` for a tool that does nothing to the world")),
        found => Ok(found),
    }
}

fn checked(name: &LitStr) -> Result<String, Error> {
    let text = name.value();
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() || text.len() > 64 || !text.chars().all(fine) {
        return Err(Error::new(name.span(), "a tool's name has up to 64 letters, digits, `_` and `-`"));
    }
    Ok(text)
}

/// The doc comment, its lines joined.
fn doc(input: &DeriveInput) -> String {
    let lines = input.attrs.iter().filter(|a| a.path().is_ident("doc")).filter_map(|a| match &a.meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        Meta::Path(_) | Meta::List(_) => None,
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// `FileSize` as `file_size`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for (at, c) in name.chars().enumerate() {
        if c.is_uppercase() && at > 0 {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests;
