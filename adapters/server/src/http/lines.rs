//! Bodies that are read a line at a time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::ApiError;

/// The lines of a body.
pub(super) struct Lines {
    body: Body,
    /// Read, and not given yet.
    read: BytesMut,
    /// How much of it has no end of a line.
    looked_at: usize,
    is_at_end: bool,
    /// The number of the line that was given last, or is being read; from 1.
    pub(super) number: u64,
    max_bytes: usize,
    timeout: Duration,
    /// When the line that is being read has to be there; while there is nothing of it, when some of it has to be.
    due: tokio::time::Instant,
}

impl Lines {
    pub(super) fn new(body: Body, max_bytes: usize, timeout: Duration) -> Self {
        let due = tokio::time::Instant::now() + timeout;
        Self {
            body,
            read: BytesMut::new(),
            looked_at: 0,
            is_at_end: false,
            number: 0,
            max_bytes,
            timeout,
            due,
        }
    }

    /// The next line that is not blank, without its end. To give up waiting loses nothing.
    ///
    /// # Errors
    ///
    /// 408 or 413; or the client has broken off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            while let Some(line) = self.take() {
                if line.len() > self.max_bytes {
                    return Err(ApiError::too_large(self.max_bytes));
                }
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.is_at_end {
                return Ok(None);
            }
            if self.read.len() > self.max_bytes {
                self.number += 1;
                return Err(ApiError::too_large(self.max_bytes));
            }
            let Ok(frame) = tokio::time::timeout_at(self.due, self.body.frame()).await else {
                self.number += 1;
                return Err(ApiError::too_slow());
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        if self.read.is_empty() {
                            self.due = tokio::time::Instant::now() + self.timeout;
                        }
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    self.number += 1;
                    return Err(ApiError::invalid_message(format!("the body broke off: {error}")));
                }
                None => self.is_at_end = true,
            }
        }
    }

    /// A line that was read whole; at the end of the body, what is left.
    fn take(&mut self) -> Option<Bytes> {
        let end = self.read[self.looked_at..].iter().position(|byte| *byte == b'\n');
        let line = match end {
            Some(end) => {
                let mut line = self.read.split_to(self.looked_at + end + 1);
                line.truncate(line.len() - 1);
                line
            }
            None if self.is_at_end && !self.read.is_empty() => self.read.split(),
            None => {
                self.looked_at = self.read.len();
                return None;
            }
        };
        self.looked_at = 0;
        self.number += 1;
        self.due = tokio::time::Instant::now() + self.timeout;
        Some(line.freeze())
    }
}
