//! The older HTTP transport (revision 2024-11-05): events come over one GET, messages go as POSTs to the address that
//! its first event names.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::RoleClient;
use rmcp::model::ServerJsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::streamable_http_client::{StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse};

use super::lines::LONGEST;

/// How long the first event may take.
const PATIENCE: Duration = Duration::from_secs(10);

type Events = std::pin::Pin<Box<dyn Stream<Item = Result<(Option<String>, Option<String>), String>> + Send>>;
type Error<C> = StreamableHttpError<<C as StreamableHttpClient>::Error>;

/// How requests are made.
#[derive(Clone)]
pub(super) struct Requests<C> {
    pub(super) client: C,
    pub(super) headers: HashMap<HeaderName, HeaderValue>,
    pub(super) bearer: Option<String>,
}

/// An open stream of events, and where messages go.
pub(super) struct Sse<C> {
    requests: Requests<C>,
    events: Events,
    messages: Arc<str>,
}

impl<C: StreamableHttpClient + Sync> Sse<C> {
    /// Opens the stream and waits for the address of messages.
    pub(super) async fn open(url: &Url, requests: Requests<C>) -> Result<Self, Error<C>> {
        let address: Arc<str> = Arc::from(url.as_str());
        let stream = requests.client.get_stream_with_max_sse_event_size(
            address,
            None,
            None,
            requests.bearer.clone(),
            requests.headers.clone(),
            LONGEST,
        );
        let silent = || unexpected("no event came within 10 s".to_owned());
        let stream = tokio::time::timeout(PATIENCE, stream).await.map_err(|_| silent())??;
        let mut events: Events = Box::pin(stream.map(|event| match event {
            Ok(event) => Ok((event.event, event.data)),
            Err(e) => Err(e.to_string()),
        }));
        let first = tokio::time::timeout(PATIENCE, endpoint(&mut events)).await.map_err(|_| silent())?;
        let target = first.map_err(unexpected)?;
        let messages = same_origin(url, &target).map_err(unexpected)?;
        Ok(Self { requests, events, messages })
    }
}

async fn endpoint(events: &mut Events) -> Result<String, String> {
    while let Some(event) = events.next().await {
        if let (Some("endpoint"), Some(data)) = (event.as_ref().map_or(None, |e| e.0.as_deref()), &event.clone()?.1) {
            return Ok(data.trim().to_owned());
        }
    }
    Err("the stream ended before it named an endpoint".to_owned())
}

/// The address of messages; one of another server would get the headers and tokens of this one.
fn same_origin(url: &Url, target: &str) -> Result<Arc<str>, String> {
    let messages = url.join(target).map_err(|e| format!("the endpoint `{target}` is no address: {e}"))?;
    if messages.origin() != url.origin() {
        return Err(format!("the endpoint `{messages}` belongs to another server"));
    }
    Ok(Arc::from(messages.as_str()))
}

fn unexpected<E: std::error::Error + Send + Sync + 'static>(why: String) -> StreamableHttpError<E> {
    StreamableHttpError::UnexpectedServerResponse(why.into())
}

impl<C: StreamableHttpClient + Sync> Transport<RoleClient> for Sse<C> {
    type Error = Error<C>;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let (requests, messages) = (self.requests.clone(), Arc::clone(&self.messages));
        async move {
            let Requests { client, headers, bearer } = requests;
            let sent = client.post_message(messages, item, None, bearer, headers).await;
            match sent {
                Ok(StreamableHttpPostResponse::Accepted) => Ok(()),
                // The answer comes as an event; what stands here is a greeting.
                Ok(_) | Err(StreamableHttpError::UnexpectedContentType(_)) => Ok(()),
                Err(e) => Err(e),
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            let (kind, data) = self.events.next().await?.ok()?;
            if !matches!(kind.as_deref(), None | Some("message" | "")) {
                continue;
            }
            let Some(data) = data else { continue };
            match serde_json::from_str::<ServerJsonRpcMessage>(&data) {
                Ok(message) => return Some(message),
                Err(e) => tracing::info!("an event is no message: {e}"),
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.events = Box::pin(futures::stream::empty());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_the_same_server_only() {
        let url = Url::parse("http://127.0.0.1:8000/sse").unwrap();
        let to = |target| same_origin(&url, target).map(|t| t.to_string());
        assert_eq!(to("/messages/?session_id=1").unwrap(), "http://127.0.0.1:8000/messages/?session_id=1");
        assert_eq!(to("http://127.0.0.1:8000/m").unwrap(), "http://127.0.0.1:8000/m");
        for elsewhere in
            ["http://evil.example/m", "//evil.example/m", "http://127.0.0.1:8001/m", "https://127.0.0.1:8000/m"]
        {
            assert!(to(elsewhere).is_err(), "{elsewhere}");
        }
    }
}
