//! Rates: how often a key, or else an address, may call.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode};
use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware};
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use ipnet::IpNet;
use serde_json::json;
use victor_core::error::ConfigurationError;
use victor_core::id::Clock;

use crate::config::Config;
use crate::error::ApiError;

/// Callers whose use is remembered before those that have not called for long are forgotten.
const CALLERS: usize = 50_000;

type Limiter = RateLimiter<String, HashMapStateStore<String>, Ticks, StateInformationMiddleware>;

type Plain = RateLimiter<String, HashMapStateStore<String>, Ticks, NoOpMiddleware<Tick>>;

/// The limits of one door.
pub(super) struct Limits {
    windows: Vec<Window>,
    proxies: Vec<IpNet>,
    clock: Arc<dyn Clock>,
}

struct Window {
    name: &'static str,
    limit: u32,
    limiter: Limiter,
}

/// What a caller has left, for the headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    limit: u32,
    remaining: u32,
    /// Seconds since the Unix epoch.
    reset: i64,
}

impl Limits {
    pub(super) fn new(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, ConfigurationError> {
        let mut windows = Vec::new();
        if let Some(rate) = config.rate_limit {
            for (name, limit, length) in
                [("minute", rate.per_minute, Duration::from_mins(1)), ("day", rate.per_day, Duration::from_hours(24))]
            {
                let none = || ConfigurationError::new(format!("a rate limit of 0 requests a {name} lets nobody call"));
                let burst = NonZeroU32::new(limit).ok_or_else(none)?;
                let quota = Quota::with_period(length / limit).ok_or_else(none)?.allow_burst(burst);
                let limiter = Plain::new(quota, HashMapStateStore::default(), Ticks(Arc::clone(clock)))
                    .with_middleware::<StateInformationMiddleware>();
                windows.push(Window { name, limit, limiter });
            }
        }
        Ok(Self { windows, proxies: config.trusted_proxies.clone(), clock: Arc::clone(clock) })
    }

    pub(super) fn are_on(&self) -> bool {
        !self.windows.is_empty()
    }

    /// Counts a request of `who`.
    ///
    /// # Errors
    /// They have called too often; says when to come back.
    pub(super) fn count(&self, who: &str) -> Result<Option<Left>, ApiError> {
        let mut tightest: Option<Left> = None;
        for window in &self.windows {
            if window.limiter.len() > CALLERS {
                window.limiter.retain_recent();
                window.limiter.shrink_to_fit();
            }
            match window.limiter.check_key(&who.to_owned()) {
                Ok(state) => {
                    let remaining = state.remaining_burst_capacity();
                    let full = state.quota().replenish_interval() * (window.limit - remaining);
                    let left = Left { limit: window.limit, remaining, reset: self.at(full) };
                    tightest = Some(tightest.filter(|t| t.remaining <= remaining).unwrap_or(left));
                }
                Err(not_until) => {
                    let wait = not_until.wait_time_from(Ticks(Arc::clone(&self.clock)).now());
                    return Err(self.too_often(window, wait));
                }
            }
        }
        Ok(tightest)
    }

    fn too_often(&self, window: &Window, wait: Duration) -> ApiError {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        let message = format!("more than {} requests in a {}; come back in {seconds} s", window.limit, window.name);
        let left = Left { limit: window.limit, remaining: 0, reset: self.at(wait) };
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message)
            .with(json!({"limit": window.limit, "window": window.name, "retry_after": u64::try_from(seconds).unwrap_or(1)}))
            .after(wait)
            .with_headers(left.headers())
    }

    fn at(&self, wait: Duration) -> i64 {
        let now = self.clock.now().as_micros();
        now.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)).div_euclid(1_000_000).saturating_add(1)
    }

    /// The address that a request comes from; a proxy's word counts where the proxy is known.
    pub(super) fn address(&self, extensions: &Extensions, headers: &HeaderMap) -> String {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
        let Some(peer) = peer else { return "address:unknown".to_owned() };
        let trusted = |ip: &IpAddr| self.proxies.iter().any(|net| net.contains(ip));
        let mut client = peer;
        if trusted(&peer) {
            let named = headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
            let hops: Vec<&str> = named.flat_map(|v| v.split(',')).map(str::trim).collect();
            // From the nearest: the first that is no proxy of ours is the client. Nonsense ends the search.
            for hop in hops.iter().rev() {
                let Ok(ip) = hop.parse::<IpAddr>() else { break };
                client = ip.to_canonical();
                if !trusted(&client) {
                    break;
                }
            }
        }
        format!("address:{}", group(client))
    }
}

impl Left {
    pub(super) fn headers(self) -> [(HeaderName, HeaderValue); 3] {
        [
            (HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(self.limit)),
            (HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(self.remaining)),
            (HeaderName::from_static("x-ratelimit-reset"), HeaderValue::from(self.reset)),
        ]
    }
}

/// One household has a whole network of IPv6 addresses.
fn group(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// The runtime's clock, as the limiter wants it.
#[derive(Clone)]
struct Ticks(Arc<dyn Clock>);

/// Microseconds of the runtime's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tick(i64);

impl Reference for Tick {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        let micros = i64::try_from(Duration::from(duration).as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }
}

impl std::ops::Add<Nanos> for Tick {
    type Output = Self;

    fn add(self, duration: Nanos) -> Self {
        Self(self.0.saturating_add(i64::try_from(Duration::from(duration).as_micros()).unwrap_or(i64::MAX)))
    }
}

impl GovernorClock for Ticks {
    type Instant = Tick;

    fn now(&self) -> Tick {
        Tick(self.0.now().as_micros())
    }
}
