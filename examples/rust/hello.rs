// rustc --target wasm32-wasip1 -O hello.rs -o hello.wasm      (wasm32-wasi before Rust 1.78)
use std::{env, fs};

fn main() -> std::io::Result<()> {
    let mut words: Vec<String> = env::args().skip(1).collect();
    words.sort();
    fs::write("/words", words.join(" "))?;
    println!("Hello from Rust! {}", fs::read_to_string("/words")?);
    Ok(())
}
