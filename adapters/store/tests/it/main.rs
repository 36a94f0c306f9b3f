//! Sets in a file: what is kept, what is refused, and what a crash leaves.

mod backups;
mod damage;
mod delayed;
mod endpoints;
mod full;
mod kills;
mod opening;
mod power;
mod rows;
mod support;
mod worker;
mod writers;
