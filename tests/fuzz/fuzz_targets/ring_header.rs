//! Any bytes as the first page of a segment: an error or a header that says what was decoded.
#![no_main]

use adnet_shm::decode_header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (file_bytes, bytes) = input;
    if let Ok(header) = decode_header(bytes, file_bytes) {
        assert_eq!(header.total_bytes(), file_bytes);
        assert!(header.capacity.is_power_of_two());
    }
});
