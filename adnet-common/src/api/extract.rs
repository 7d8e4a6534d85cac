//! Extractors whose refusals come in the envelope.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Json, Path, Query, Request};
use http::request::Parts;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::envelope::ApiError;

/// A JSON body of type `T`. The content type must say `application/json`.
pub struct ApiJson<T>(pub T);

/// Parameters of the path.
pub struct ApiPath<T>(pub T);

/// Parameters after the question mark.
pub struct ApiQuery<T>(pub T);

/// Who is at the other end of the connection.
pub struct ApiPeer(pub SocketAddr);

/// A request with its whole body as it came, for routes whose requests may be signed.
pub struct ApiSigned {
    pub parts: Parts,
    pub body: Bytes,
}

impl ApiSigned {
    /// The body as JSON. The content type must say `application/json`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let named = self.parts.headers.get(header::CONTENT_TYPE);
        let named = named.and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = named.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(not_json());
        }
        let Json(value) = Json::from_bytes(&self.body).map_err(|error| json_error(&error))?;
        Ok(value)
    }
}

impl<S: Send + Sync> FromRequest<S> for ApiSigned {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts.clone(), body);
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => ApiError::invalid(rejection.body_text()),
        })?;
        Ok(Self { parts, body })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ApiPeer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ConnectInfo(address) = peer.ok_or_else(ApiError::internal)?;
        Ok(Self(*address))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(json_error(&rejection)),
        }
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let wrong = |rejection: PathRejection| ApiError::invalid(rejection.body_text());
        let Path(value) = Path::<T>::from_request_parts(parts, state)
            .await
            .map_err(wrong)?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let wrong = |rejection: QueryRejection| ApiError::invalid(rejection.body_text());
        let Query(value) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(wrong)?;
        Ok(Self(value))
    }
}

fn json_error(rejection: &JsonRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => not_json(),
        _ => ApiError::invalid(rejection.body_text()),
    }
}

fn too_large() -> ApiError {
    ApiError::new(
        "PAYLOAD_TOO_LARGE",
        "the body is longer than this API takes",
    )
}

fn not_json() -> ApiError {
    ApiError::new("UNSUPPORTED_MEDIA_TYPE", "send JSON as application/json")
}
