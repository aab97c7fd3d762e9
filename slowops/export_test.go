package slowops

import (
	"crypto/tls"
	"crypto/x509"
)

// Trust makes the op trust the authorities of the pool and no others.
func (h *HTTP) Trust(pool *x509.CertPool) {
	h.transport.TLSClientConfig = &tls.Config{RootCAs: pool}
}
