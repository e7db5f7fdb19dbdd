// Package denial recognises why a TLS connection to a broker failed, and says what to do about it.
package denial

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
)

// Certificate recognises why this client does not accept a broker. The reason is empty if that is not
// what happened.
func Certificate(err error) (reason, remedy string) {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		header  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown):
		return "the certificate of the broker is not signed by a trusted authority",
			"Set CLUSTERLITE_KAFKA_TLS_CA_FILE to the certificate of the authority that signed it."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of the broker has expired or is not valid yet",
			"Renew the certificate of the broker, or correct the clock of this machine."
	case errors.As(err, &invalid):
		return "the certificate of the broker is not valid", "Replace the certificate of the broker."
	case errors.As(err, &host):
		return "the certificate of the broker is for another host",
			"Use a host name of the certificate in CLUSTERLITE_KAFKA_BROKERS and in the broker's advertised.listeners."
	case errors.As(err, &header):
		return "the listener of the broker does not speak TLS",
			"Use the port of a TLS listener in CLUSTERLITE_KAFKA_BROKERS, or remove CLUSTERLITE_KAFKA_TLS."
	}
	return "", ""
}

// Alert recognises why a broker does not accept this client's TLS. The alerts are those
// of RFC 8446, section 6. Their text is compared because crypto/tls does not export its type of
// received alerts. The reason is empty if that is not what happened.
func Alert(err error) (reason, remedy string) {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" {
		return "", ""
	}
	alert := remote.Err.Error()
	switch {
	case strings.Contains(alert, "certificate"), strings.Contains(alert, "access denied"):
		return "the broker rejected the client certificate",
			"Set CLUSTERLITE_KAFKA_TLS_CERT_FILE and CLUSTERLITE_KAFKA_TLS_KEY_FILE to a valid certificate that the broker trusts."
	case strings.Contains(alert, "handshake failure"), strings.Contains(alert, "protocol version"), strings.Contains(alert, "insufficient security"):
		return "the broker rejected the TLS handshake", "Enable TLS 1.2 or 1.3 on the listener of the broker."
	}
	return "", ""
}
