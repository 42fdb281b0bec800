package testdb

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TLSFiles are PEM files: the CA of the server's and a client's certificate, and such a client
// certificate with its key.
type TLSFiles struct {
	CA, Cert, Key string
}

// SpeakTLS restarts the server with optional TLS, as 127.0.0.1 and localhost.
func (s *MariaDBServer) SpeakTLS() TLSFiles {
	s.t.Helper()
	ca := newAuthority(s.t)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(s.folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
			s.t.Fatal(err)
		}
		return path
	}
	pair := func(name string) (cert, key string) {
		certDER, keyDER := ca.issue(s.t, name)
		return write(name+"-cert.pem", "CERTIFICATE", certDER), write(name+"-key.pem", "PRIVATE KEY", keyDER)
	}
	files := TLSFiles{CA: write("ca.pem", "CERTIFICATE", ca.cert.Raw)}
	cert, key := pair("server")
	files.Cert, files.Key = pair("client")
	s.settings = append(s.settings, "ssl-ca="+files.CA, "ssl-cert="+cert, "ssl-key="+key)
	s.Restart()
	return files
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	template := certificate("the test's authority")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a := &authority{cert: template, key: newKey(t)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) issue(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	template := certificate(name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.IPAddresses, template.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	private := newKey(t)
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err == nil {
		key, err = x509.MarshalPKCS8PrivateKey(private)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
