package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWhatAConnectionCannotSayIsInTheLog(t *testing.T) {
	var log bytes.Buffer
	server := newHTTPServer(http.NotFoundHandler(), slog.New(slog.NewJSONHandler(&log, nil)))
	server.ErrorLog.Print("http: TLS handshake error from 192.0.2.1:5: EOF")
	if log.Len() > 0 {
		t.Errorf("everybody can fill the log: %s", &log)
	}
	server.ErrorLog.Print("http: Accept error: accept tcp [::]:8443: accept4: too many open files; retrying in 5ms")
	if text := log.String(); !strings.Contains(text, "too many open files") || !strings.Contains(text, "ERROR") {
		t.Errorf("the log says: %s", text)
	}
}

// mustCertify writes a certificate for a name, and its key.
func mustCertify(t *testing.T, c *certificateFile, name string, at time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{c.cert: {Type: "CERTIFICATE", Bytes: der}, c.key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACertificateIsReadAgainWhenItWasReplaced(t *testing.T) {
	folder := t.TempDir()
	var log bytes.Buffer
	now := time.Now()
	c := &certificateFile{
		cert: filepath.Join(folder, "tls.crt"), key: filepath.Join(folder, "tls.key"),
		log: slog.New(slog.NewJSONHandler(&log, nil)), now: func() time.Time { return now },
	}
	serves := func(name string) {
		t.Helper()
		got, err := c.get(nil)
		if err != nil || got.Leaf.DNSNames[0] != name {
			t.Fatalf("%v, want %s: %v", got, name, err)
		}
	}
	if _, err := c.get(nil); err == nil {
		t.Error("a certificate that is not there is served")
	}
	mustCertify(t, c, "first", now)
	serves("first")
	// Files that are put back from a copy can be older.
	mustCertify(t, c, "older", now.Add(-time.Hour))
	now = now.Add(time.Minute)
	serves("older")
	// One that cannot be read leaves the one before, and is said once in a while.
	if err := os.WriteFile(c.cert, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	for range 3 {
		serves("older")
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "tls.crt") {
		t.Errorf("the log says: %s", text)
	}
	if err := os.Remove(c.cert); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	serves("older")
	if text := log.String(); strings.Count(text, "\n") != 2 {
		t.Errorf("the log says: %s", text)
	}
	mustCertify(t, c, "last", now)
	now = now.Add(time.Minute)
	serves("last")
}
