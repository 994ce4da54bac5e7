//! Bytes of SPDY, as recorded or made up.
