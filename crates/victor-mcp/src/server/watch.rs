//! Subscriptions: a client is told when a resource that it watches changes, for as long as it wants to know.

use std::sync::{Arc, PoisonError};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer};
use tokio_util::sync::CancellationToken;
use victor_core::runtime::Runtime;

use super::door::{Door, WATCHES};
use super::lists;
use super::session::Session;

/// Resources that one client may watch.
pub(crate) const WATCHED: usize = 256;

/// `resources/subscribe` of the older form.
pub(crate) async fn subscribe(
    session: &Session,
    runtime: &Runtime,
    uri: String,
    cx: &RequestContext<RoleServer>,
) -> Result<(), ErrorData> {
    let full = |most: usize| ErrorData::invalid_request(format!("at most {most} resources can be watched"), None);
    let place = Arc::clone(&session.door.watches).try_acquire_owned().map_err(|_| full(WATCHES))?;
    let watched = lists::source(runtime, &uri)?.watch(&uri).await.map_err(|e| lists::at(e, &uri))?;
    let ends = CancellationToken::new();
    let held = ends.clone().drop_guard();
    {
        let mut all = session.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WATCHED && !all.contains_key(&uri) {
            return Err(full(WATCHED));
        }
        all.insert(uri.clone(), held);
    }
    let Some(mut changes) = watched else { return Ok(()) };
    let (peer, closing, quiet) = (cx.peer.clone(), session.closing.clone(), session.door.quiet.clone());
    runtime.spawn(async move {
        let _place = place;
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = ends.cancelled() => return,
                () = closing.cancelled() => return,
                () = quiet.cancelled() => return,
            }
            if peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri.clone())).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// `subscriptions/listen` of the newer form, until the client ends it.
pub(crate) async fn listen(door: &Door, runtime: &Runtime, context: &SubscriptionContext) -> Result<(), ErrorData> {
    let mut watched = FuturesUnordered::new();
    for uri in context.accepted().resource_subscriptions.iter().flatten().take(WATCHED) {
        let Ok(place) = door.watches.try_acquire() else {
            tracing::warn!("clients watch more than {WATCHES} resources; the rest is not looked at");
            break;
        };
        // What cannot be watched, or does not exist, never changes.
        let Ok(source) = lists::source(runtime, uri) else { continue };
        let Ok(Some(mut changes)) = source.watch(uri).await else { continue };
        watched.push(async move {
            let _place = place;
            while changes.changed().await.is_ok() {
                if context.sink().notify_resource_updated(uri.clone()).await.is_err() {
                    return;
                }
            }
        });
    }
    tokio::select! {
        () = context.cancelled() => {}
        () = runtime.cancelled() => {}
        () = async { while watched.next().await.is_some() {} std::future::pending().await } => {}
    }
    Ok(())
}
