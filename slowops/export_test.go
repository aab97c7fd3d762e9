package slowops

import (
	"crypto/tls"
	"crypto/x509"
)

// Trust makes the op trust the pool alone.
func (h *HTTP) Trust(pool *x509.CertPool) {
	h.transport.TLSClientConfig = &tls.Config{RootCAs: pool}
}
