//! Sessions times engine, without IO: who watches what in a Liveset endpoint.
