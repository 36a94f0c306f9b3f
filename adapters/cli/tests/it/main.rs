//! The binary from outside: configuration, HTTP, TLS, commands, attacks and the demo, one behaviour a file.

#[cfg(unix)]
mod admin;
mod auth_failures;
mod bench;
mod comeback;
mod commit_stream;
mod crowd;
mod demo_page;
mod deploy;
mod drain;
mod half_open;
mod handshakes;
mod hardening;
mod http_endpoints;
mod json_policy;
mod killed_clients;
mod limits_documented;
mod node_example;
mod observability;
mod operations;
mod origins;
mod packages;
mod policy;
mod proxies;
mod readme;
mod real_data;
mod reload;
mod replay;
mod rolling_restart;
mod serve_config;
mod serve_signals;
mod sets;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "some tests are Linux's alone"))]
mod support;
mod tenants;
mod terminated_under_load;
mod tls;
mod watch;
