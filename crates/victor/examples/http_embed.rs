//! The HTTP API inside an application of one's own, below a path, beside its own routes and state.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::routing::get;
use axum::{Router, middleware};
use victor::http::Config;

/// What the application keeps for itself.
#[derive(Clone, Default)]
struct App {
    visits: Arc<AtomicU64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let victor = victor::from_env().await?;
    let state = App::default();
    let count = |State(app): State<App>, request, next: middleware::Next| async move {
        app.visits.fetch_add(1, Ordering::Relaxed);
        next.run(request).await
    };
    let app = Router::new()
        .route("/visits", get(|State(app): State<App>| async move { app.visits.load(Ordering::Relaxed).to_string() }))
        .nest("/agents", victor::http::router(victor, Config::default())?)
        .layer(middleware::from_fn_with_state(state.clone(), count))
        .with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/agents/api/v1/chat", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
