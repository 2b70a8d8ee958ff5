//! Which model `/model` and `/provider` mean.

use victor::provider::{ModelInfo, Selector};

/// The model that `name` means while `provider` serves: `provider/model`, an id of the same provider, or an id that
/// only another provider has.
pub(super) fn selector(name: &str, provider: &str, known: &[ModelInfo], providers: &[String]) -> Selector {
    let of = |provider: &str, model: &str| Selector { provider: Some(provider.into()), model: Some(model.into()) };
    let has = |p: &str| known.iter().any(|m| m.provider == p && m.id == name);
    if has(provider) {
        return of(provider, name);
    }
    if let Some((first, rest)) = name.split_once('/')
        && providers.iter().any(|p| p == first)
    {
        return of(first, rest);
    }
    match known.iter().find(|m| m.id == name) {
        Some(other) => of(&other.provider, name),
        None => of(provider, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_nearest_model() {
        let model =
            |provider: &str, id: &str| ModelInfo { id: id.into(), provider: provider.into(), ..ModelInfo::default() };
        let known = [model("a", "x"), model("b", "y"), model("r", "b/y")];
        let providers = ["a", "b", "r"].map(String::from);
        let picked = |name, provider| {
            let s = selector(name, provider, &known, &providers);
            format!("{} {}", s.provider.unwrap(), s.model.unwrap())
        };
        assert_eq!(picked("x", "a"), "a x");
        assert_eq!(picked("y", "a"), "b y");
        assert_eq!(picked("b/y", "r"), "r b/y");
        assert_eq!(picked("b/y", "a"), "b y");
        assert_eq!(picked("new", "a"), "a new");
    }
}
