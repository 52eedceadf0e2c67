//! A raw filter that misbehaves on request.
