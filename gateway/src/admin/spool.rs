//! `/api/spool`: what waits, and what an operator wants done with it. Orders are guarded as reloads are.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::{reload, text};
use crate::queue::Queue;
use crate::spool::Order;

/// Where the spool is asked for.
pub(super) const PATH: &str = "/api/spool";

/// Room for the ids of 300,000 messages.
const ORDER_OCTETS: usize = 8 << 20;

pub(super) async fn respond<B>(
    request: Request<B>,
    peer: SocketAddr,
    queue: Option<&Queue>,
) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(queue) = queue else {
        return text(StatusCode::NOT_FOUND, "there is no spool\n".to_owned());
    };
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return json(&queue.summary());
    }
    if request.method() != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or POST\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        return response;
    }
    if let Err(reason) = reload::admit(&request, peer.ip()) {
        return text(StatusCode::FORBIDDEN, format!("{reason}\n"));
    }
    let Ok(body) = Limited::new(request.into_body(), ORDER_OCTETS).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "too long an order\n".to_owned());
    };
    match serde_json::from_slice::<Order>(&body.to_bytes()) {
        Ok(order) => json(&queue.obey(order).await),
        Err(error) => text(StatusCode::BAD_REQUEST, format!("no order: {error}\n")),
    }
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_string(value).unwrap_or_default() + "\n";
    let mut response = text(StatusCode::OK, body);
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
