//! A brake for servers that send more than anybody can need: reading waits, and so the server does.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use victor_core::id::{Clock, Timestamp};

/// Messages that may come at once.
const BURST: u32 = 2_000;
/// Messages in a second, for good.
const RATE: u32 = 2_000;

/// A transport that is read no faster than a server has reason to send.
pub(super) struct Throttled<T> {
    inner: T,
    clock: Arc<dyn Clock>,
    left: u32,
    since: Timestamp,
}

impl<T> Throttled<T> {
    pub(super) fn new(inner: T, clock: Arc<dyn Clock>) -> Self {
        let since = clock.now();
        Self { inner, clock, left: BURST, since }
    }

    fn refill(&mut self) {
        let now = self.clock.now();
        let gained = now.since(self.since).as_millis() * u128::from(RATE) / 1_000;
        if gained > 0 {
            self.left = self.left.saturating_add(u32::try_from(gained).unwrap_or(BURST)).min(BURST);
            self.since = now;
        }
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Throttled<T> {
    type Error = T::Error;

    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        while self.left == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.refill();
        }
        let message = self.inner.receive().await?;
        self.left -= 1;
        if self.left < BURST / 2 {
            self.refill();
        }
        Some(message)
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.inner.close()
    }
}
