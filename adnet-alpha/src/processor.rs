//! What the arithmetic of the proofs wants of the processor.

/// What the processor lacks, if it is of no use: the assembly of `pasta_curves` does not look.
pub fn lacks() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    if pasta_curves::BACKEND == "x86-64" {
        if !std::arch::is_x86_feature_detected!("bmi2") {
            return Some("BMI2");
        }
        if !std::arch::is_x86_feature_detected!("adx") {
            return Some("ADX");
        }
    }
    None
}
