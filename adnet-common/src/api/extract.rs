//! Extractors whose refusals come in the envelope.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::envelope::ApiError;

/// A JSON body of type `T`. The content type must say `application/json`.
pub struct ApiJson<T>(pub T);

/// Parameters of the path.
pub struct ApiPath<T>(pub T);

/// Parameters after the question mark.
pub struct ApiQuery<T>(pub T);

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
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
            "PAYLOAD_TOO_LARGE",
            "the body is longer than this API takes",
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ApiError::new("UNSUPPORTED_MEDIA_TYPE", "send JSON as application/json")
        }
        _ => ApiError::invalid(rejection.body_text()),
    }
}
