//! Tests of the product as a whole: over HTTP, as Lambda functions, against AWS's own protocols. One
//! binary, since linking is slow.

#[cfg(test)]
mod adapters;
#[cfg(test)]
mod authentication;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod client;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod lambda;
#[cfg(test)]
mod local;
#[cfg(test)]
mod main_job;
#[cfg(test)]
mod repeats;
#[cfg(test)]
mod store;
#[cfg(test)]
mod tidy;
