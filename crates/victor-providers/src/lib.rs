//! Model providers: the wires as pure mappings, one HTTP client under them, and a registry that finds the model.
//!
//! Vendors and models are data (`providers.yaml`, `models.yaml`); what the user configures beats it.
#![forbid(unsafe_code)]

mod address;
mod catalog;
mod embedded;
mod http;
mod registry;
mod service;
mod settings;
mod sse;
mod stream;
mod wire;

pub use catalog::{PRICES_AS_OF, provider_names};
pub use embedded::Embedded;
pub use http::client;
pub use registry::Registry;
pub use settings::{Credentials, LengthField, ModelSettings, PriceSettings, ProviderSettings, RegistrySettings, Wire};
