use std::collections::BTreeMap;
use std::sync::Arc;

use rstest::rstest;
use secrecy::SecretString;
use victor_core::error::{ConfigurationError, ProviderError, ProviderErrorKind, VictorError};
use victor_core::provider::{ChunkStream, ModelInfo, Provider, ProviderRegistry, Selector};
use victor_core::request::{CallCx, Request};
use victor_tests::ModelServer;

use super::Registry;
use crate::embedded::Embedded;
use crate::settings::{Credentials, ModelSettings, PriceSettings, ProviderSettings, RegistrySettings};

#[derive(Default)]
struct Fixed {
    vars: BTreeMap<&'static str, String>,
    stored: BTreeMap<&'static str, &'static str>,
}

impl Credentials for Fixed {
    fn var(&self, name: &str) -> Option<String> {
        // Nothing listens there, so no test meets a real Ollama.
        let nowhere = || (name == "OLLAMA_HOST").then(|| "127.0.0.1:9".to_owned());
        self.vars.get(name).cloned().or_else(nowhere)
    }

    fn stored_key(&self, provider: &str) -> Result<Option<SecretString>, ConfigurationError> {
        if self.stored.get(provider) == Some(&"!") {
            return Err(ConfigurationError::new("keys.yaml can be read by others"));
        }
        Ok(self.stored.get(provider).map(|k| SecretString::from(*k)))
    }
}

fn vars(list: &[(&'static str, &str)]) -> Fixed {
    Fixed { vars: list.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(), ..Fixed::default() }
}

fn registry(settings: RegistrySettings, credentials: Fixed) -> Registry {
    Registry::new(settings, Arc::new(credentials)).unwrap()
}

fn select(provider: Option<&str>, model: Option<&str>) -> Selector {
    Selector { provider: provider.map(str::to_owned), model: model.map(str::to_owned) }
}

async fn resolved(registry: &Registry, selector: Selector) -> String {
    match registry.resolve(&selector).await {
        Ok(model) => format!("{model:?}"),
        Err(e) => format!("{}: {e}", e.code()),
    }
}

/// Keys for three providers, and the selector's two parts.
#[rstest]
#[case::catalogue_order(None, None, "anthropic/claude-sonnet-5-5")]
#[case::provider(Some("openai"), None, "openai/gpt-5.2")]
#[case::both(Some("openai"), Some("gpt-4o"), "openai/gpt-4o")]
#[case::prefixed(None, Some("openai/gpt-4o"), "openai/gpt-4o")]
#[case::both_and_prefixed(Some("openai"), Some("openai/gpt-4o"), "openai/gpt-4o")]
#[case::bare_model(None, Some("gpt-4o-mini"), "openai/gpt-4o-mini")]
#[case::bare_model_as_provider(Some("gpt-4o-mini"), None, "openai/gpt-4o-mini")]
#[case::unknown_model(None, Some("brand-new"), "anthropic/brand-new")]
#[case::unknown_model_of(Some("openai"), Some("brand-new"), "openai/brand-new")]
#[case::slash_in_the_id(Some("groq"), Some("openai/gpt-oss-120b"), "groq/openai/gpt-oss-120b")]
#[case::slash_in_a_known_id(None, Some("openai/gpt-oss-120b"), "groq/openai/gpt-oss-120b")]
#[tokio::test]
async fn names_lead_to_models(#[case] provider: Option<&str>, #[case] model: Option<&str>, #[case] expected: &str) {
    let keys = vars(&[("ANTHROPIC_API_KEY", "a"), ("OPENAI_API_KEY", "o"), ("GROQ_API_KEY", "g")]);
    let registry = registry(RegistrySettings::default(), keys);
    assert_eq!(resolved(&registry, select(provider, model)).await, expected);
}

#[tokio::test]
async fn the_configuration_goes_before_the_environment() {
    let settings = RegistrySettings {
        provider: Some("openai".into()),
        model: Some("openai/my-model".into()),
        fallback: vec!["openai/my-model".into(), "anthropic".into(), "nosuch".into()],
        ..Default::default()
    };
    let registry = registry(settings, vars(&[("ANTHROPIC_API_KEY", "a"), ("OPENAI_API_KEY", "o")]));
    assert_eq!(resolved(&registry, Selector::default()).await, "openai/my-model");
    assert_eq!(resolved(&registry, select(Some("anthropic"), None)).await, "anthropic/claude-sonnet-5-5");
    let first = registry.resolve(&Selector::default()).await.unwrap();
    let rest: Vec<_> = registry.fallbacks(&first).await.iter().map(|m| format!("{m:?}")).collect();
    assert_eq!(rest, ["anthropic/claude-sonnet-5-5"]);
    assert_eq!(registry.providers()[0].name, "openai");
}

#[tokio::test]
async fn without_any_provider_the_choices_are_listed() {
    let registry = registry(RegistrySettings::default(), Fixed::default());
    let error = registry.resolve(&Selector::default()).await.unwrap_err();
    assert_eq!(error.code(), "PROVIDER_NOT_CONFIGURED");
    for part in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "victor keys set", "Ollama", "providers:"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_missing_key_names_its_variable_and_an_empty_one_is_missing() {
    let registry = registry(RegistrySettings::default(), vars(&[("OPENAI_API_KEY", "  ")]));
    let said = resolved(&registry, select(Some("openai"), None)).await;
    assert_eq!(
        said,
        "PROVIDER_NOT_CONFIGURED: openai: no API key; set OPENAI_API_KEY, or run `victor keys set openai`"
    );
}

#[tokio::test]
async fn an_unknown_provider_is_answered_with_the_nearest() {
    let registry = registry(RegistrySettings::default(), Fixed::default());
    let said = resolved(&registry, select(Some("antropic"), None)).await;
    assert!(said.starts_with("PROVIDER_NOT_FOUND: unknown provider `antropic`; did you mean `anthropic`"), "{said}");
}

#[tokio::test]
async fn saved_keys_count_after_the_environment_and_a_broken_store_is_an_error() {
    let stored = |key| Fixed { stored: BTreeMap::from([("mistral", key)]), ..Fixed::default() };
    let good = registry(RegistrySettings::default(), stored("k"));
    assert_eq!(resolved(&good, Selector::default()).await, "mistral/mistral-large-latest");
    let bad = registry(RegistrySettings::default(), stored("!"));
    assert!(resolved(&bad, Selector::default()).await.contains("can be read by others"));
}

#[tokio::test]
async fn an_address_on_this_machine_needs_no_key_and_serves_by_default() {
    let server = ModelServer::start([]);
    let moved = registry(RegistrySettings::default(), vars(&[("OPENAI_BASE_URL", &server.url())]));
    assert_eq!(resolved(&moved, Selector::default()).await, "openai/gpt-5.2");
    let ollama = registry(RegistrySettings::default(), vars(&[("OLLAMA_HOST", &server.url())]));
    assert_eq!(resolved(&ollama, Selector::default()).await, "ollama/test-model");
    assert!(ollama.explain().await[0].contains("ollama/test-model, because it runs on this machine"));
}

#[tokio::test]
async fn what_the_user_says_of_a_model_beats_the_catalogue() {
    let model = ModelSettings {
        id: "gpt-4o".into(),
        context_window: Some(5),
        price: Some(PriceSettings { input: 1.0, output: 2.0, cache_read: None, cache_write: None }),
        vision: Some(false),
        ..Default::default()
    };
    let openai = ProviderSettings { models: vec![model], max_output: Some(7), ..Default::default() };
    let settings = RegistrySettings { providers: BTreeMap::from([("openai".into(), openai)]), ..Default::default() };
    let registry = registry(settings, vars(&[("OPENAI_API_KEY", "o")]));
    let info = registry.resolve(&select(None, Some("gpt-4o"))).await.unwrap().info;
    assert_eq!((info.context_window, info.max_output, info.price.unwrap().input), (Some(5), Some(7), 1000));
    assert!(!info.features.vision && info.features.tool_calling);
    let unknown = registry.resolve(&select(Some("openai"), Some("new"))).await.unwrap().info;
    assert_eq!((unknown.context_window, unknown.price), (None, None));
}

#[test]
fn an_unusable_entry_is_refused_at_once() {
    let with = |name: &str, provider: ProviderSettings| {
        let settings = RegistrySettings { providers: BTreeMap::from([(name.into(), provider)]), ..Default::default() };
        Registry::new(settings, Arc::new(Fixed::default())).unwrap_err().to_string()
    };
    let bad_url = ProviderSettings { base_url: Some("ftp://x".into()), ..Default::default() };
    assert!(with("mine", bad_url).contains("providers.mine.base_url"));
    assert!(with("a/b", ProviderSettings::default()).contains("a/b"));
}

#[tokio::test]
async fn an_entry_without_address_says_so() {
    let settings = RegistrySettings {
        providers: BTreeMap::from([("mine".into(), ProviderSettings::default())]),
        ..Default::default()
    };
    let error = registry(settings, Fixed::default()).resolve(&Selector::from("mine/x")).await.unwrap_err();
    assert!(matches!(error, VictorError::Configuration(_)));
    assert!(error.to_string().contains("providers.mine: no base_url"), "{error}");
}

#[test]
fn keys_do_not_show_in_debug_output() {
    let provider = ProviderSettings { api_key: Some("sk-secret".into()), ..Default::default() };
    let settings = RegistrySettings { providers: BTreeMap::from([("openai".into(), provider)]), ..Default::default() };
    assert!(!format!("{:?}", registry(settings, Fixed::default())).contains("sk-secret"));
}

/// Two models, of which one may be on this machine.
struct Built {
    here: Option<&'static str>,
}

struct Mute;

#[async_trait::async_trait]
impl Provider for Mute {
    fn name(&self) -> &'static str {
        "local"
    }

    fn wire(&self) -> &'static str {
        "local"
    }

    async fn stream(&self, _: &Request, _: &CallCx) -> Result<ChunkStream, ProviderError> {
        Err(ProviderError::new(ProviderErrorKind::Server, "local", "mute"))
    }

    async fn check(&self, _: &CallCx) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn list_models(&self, _: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(Vec::new())
    }
}

impl Embedded for Built {
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::new(Mute)
    }

    fn models(&self) -> Vec<ModelInfo> {
        let info = |id: &str| ModelInfo { id: id.into(), provider: "local".into(), ..ModelInfo::default() };
        ["big", "small"].map(info).into()
    }

    fn default_model(&self) -> Option<String> {
        self.here.map(str::to_owned)
    }

    fn model(&self, id: &str) -> Result<ModelInfo, VictorError> {
        let found = self.models().into_iter().find(|m| m.id == id && self.here == Some(id));
        found.ok_or_else(|| ConfigurationError::new(format!("pull {id}")).into())
    }

    fn readiness(&self) -> Result<String, String> {
        self.here.map(str::to_owned).ok_or_else(|| "Pull one".to_owned())
    }
}

fn embedded(here: Option<&'static str>, settings: RegistrySettings, credentials: Fixed) -> Registry {
    registry(settings, credentials).with_embedded(Arc::new(Built { here }))
}

#[tokio::test]
async fn an_embedded_model_serves_when_nothing_else_does() {
    let bare = || embedded(Some("small"), RegistrySettings::default(), Fixed::default());
    assert_eq!(resolved(&bare(), Selector::default()).await, "local/small");
    assert!(bare().explain().await[0].contains("local/small, because nothing else is configured"));
    assert_eq!(resolved(&bare(), select(None, Some("small"))).await, "local/small");
    assert_eq!(resolved(&bare(), select(None, Some("local/small"))).await, "local/small");
    let unknown = resolved(&bare(), select(None, Some("gpt-99"))).await;
    assert!(unknown.contains("PROVIDER_NOT_CONFIGURED") && unknown.contains("OPENAI_API_KEY"), "{unknown}");
    assert_eq!(bare().providers().last().map(|p| (p.name.as_str(), p.configured)), Some(("local", true)));

    let server = ModelServer::start([]);
    for keys in [vars(&[("OLLAMA_HOST", &server.url())]), vars(&[("OPENAI_API_KEY", "o")])] {
        let other = embedded(Some("small"), RegistrySettings::default(), keys);
        assert!(!resolved(&other, Selector::default()).await.starts_with("local"));
        assert_eq!(resolved(&other, select(Some("local"), None)).await, "local/small");
    }
}

#[tokio::test]
async fn an_embedded_model_that_is_not_here_is_an_error_with_the_way_to_it() {
    let bare = embedded(None, RegistrySettings::default(), Fixed::default());
    let said = resolved(&bare, Selector::default()).await;
    for part in ["PROVIDER_NOT_CONFIGURED", "Pull one; or set", "ANTHROPIC_API_KEY", "Ollama"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(bare.absent(&Selector::default()).await, Some(None));
    assert_eq!(bare.absent(&select(None, Some("local/big"))).await, Some(Some("big".to_owned())));
    assert_eq!(bare.absent(&select(None, Some("local/nosuch"))).await, None);
    assert_eq!(bare.absent(&select(Some("openai"), None)).await, None);
    let there = embedded(Some("big"), RegistrySettings::default(), Fixed::default());
    assert_eq!(there.absent(&Selector::default()).await, None);
    assert!(!bare.providers().last().unwrap().configured);
}

#[tokio::test]
async fn a_configured_server_of_the_same_name_takes_the_embedded_ones_place() {
    let own = ProviderSettings {
        base_url: Some("http://127.0.0.1:9/v1".into()),
        default_model: Some("mine".into()),
        ..Default::default()
    };
    let settings = RegistrySettings { providers: BTreeMap::from([("local".into(), own)]), ..Default::default() };
    let registry = embedded(Some("small"), settings, Fixed::default());
    assert_eq!(resolved(&registry, Selector::default()).await, "local/mine");
    assert_eq!(registry.providers().iter().filter(|p| p.name == "local").count(), 1);
}
