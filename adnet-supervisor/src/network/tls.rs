//! Mutual TLS 1.3 with raw public keys (RFC 7250): no certificates, no CA, no names.
//!
//! Only ed25519 (RFC 8410) is offered and accepted. Early data is off because it can be replayed,
//! tickets are off because a resumed handshake shows no key.

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

use super::identity::{Identity, PeerId, peer_of_spki};

/// The key that the other side showed in a handshake, also if it was refused for it. It is a claim
/// until the handshake succeeds.
pub type Presented = Arc<OnceLock<PeerId>>;

/// Checks the key of the other side: ed25519, its signature, and the one that was dialled.
#[derive(Debug)]
struct RawKeyVerifier {
    /// `None` on the accepting side: who may stay is decided after the handshake.
    expected: Option<PeerId>,
    presented: Presented,
    algorithms: WebPkiSupportedAlgorithms,
}

impl RawKeyVerifier {
    fn check(&self, spki: &CertificateDer<'_>) -> Result<(), Error> {
        let peer = peer_of_spki(spki.as_ref()).ok_or(CertificateError::BadEncoding)?;
        match self.expected {
            None => Ok(()),
            Some(expected) => {
                let _ = self.presented.set(peer);
                if peer == expected {
                    Ok(())
                } else {
                    Err(CertificateError::ApplicationVerificationFailure.into())
                }
            }
        }
    }

    fn verify(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signed, &self.algorithms)
    }
}

/// The part that both verifier traits ask for alike.
macro_rules! raw_key_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.3 only".into()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            spki: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.verify(message, spki, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ClientCertVerifier for RawKeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        spki: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(spki).map(|()| ClientCertVerified::assertion())
    }

    raw_key_signatures!();
}

impl ServerCertVerifier for RawKeyVerifier {
    fn verify_server_cert(
        &self,
        spki: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(spki).map(|()| ServerCertVerified::assertion())
    }

    raw_key_signatures!();
}

/// What both roles need; made once per endpoint.
pub struct TlsIdentity {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
    alpn: Vec<u8>,
}

impl TlsIdentity {
    pub fn new(identity: &Identity, alpn: Vec<u8>) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivateKeyDer::from(identity.pkcs8());
        let key = provider.key_provider.load_private_key(private)?;
        let spki = key
            .public_key()
            .ok_or(Error::General("the key has no SPKI form".into()))?;
        // With raw public keys the "certificate chain" is the bare SPKI.
        let chain = vec![CertificateDer::from(spki.as_ref().to_vec())];
        let key = Arc::new(CertifiedKey::new(chain, key));
        Ok(Self {
            provider,
            key,
            alpn,
        })
    }

    fn verifier(&self, expected: Option<PeerId>, presented: Presented) -> Arc<RawKeyVerifier> {
        Arc::new(RawKeyVerifier {
            expected,
            presented,
            algorithms: self.provider.signature_verification_algorithms,
        })
    }

    /// Accepting side: any ed25519 key whose holder signs the handshake.
    pub fn server(&self) -> Result<rustls::ServerConfig, Error> {
        let resolver = AlwaysResolvesServerRawPublicKeys::new(self.key.clone());
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(self.verifier(None, Presented::default()))
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![self.alpn.clone()];
        config.max_early_data_size = 0;
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// Dialling side, made anew for each dial: exactly one key is right.
    pub fn client(
        &self,
        expected: PeerId,
        presented: Presented,
    ) -> Result<rustls::ClientConfig, Error> {
        let resolver = AlwaysResolvesClientRawPublicKeys::new(self.key.clone());
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(Some(expected), presented))
            .with_client_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![self.alpn.clone()];
        config.enable_early_data = false;
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}
