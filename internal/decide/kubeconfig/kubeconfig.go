// Package kubeconfig holds which kubeconfigs a server takes that somebody else has written, and which addresses it may dial by them.
//
// A kubeconfig can name programs to run, files to read and proxies to pass. The server takes those that have nothing but an address, what
// to trust there, and who to be.
package kubeconfig

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/refusal"
)

// MaxSize bounds a kubeconfig, in bytes.
const MaxSize = 64 << 10

// Access is how a cluster's API server is reached. It is a secret.
type Access struct {
	// Server is https://HOST[:PORT][/PATH], without a slash at its end.
	Server *url.URL
	// ServerName is the name that the certificate is to be of, where that is not the url's host.
	ServerName string
	// Authority is in PEM; empty is the machine's roots.
	Authority []byte
	// Either there is a Token, or Certificate and Key in PEM.
	Token            string
	Certificate, Key []byte
	// Ends is when the credentials say that they end; zero if they do not say it. The API server may not take them for as long.
	Ends time.Time
}

// file is a kubeconfig. What is refused is here, too, so that it can be said what it is.
type file struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	Preferences    map[string]any `json:"preferences"`
	Extensions     []any          `json:"extensions"`
	CurrentContext string         `json:"current-context"`
	Clusters       []struct {
		Name    string  `json:"name"`
		Cluster cluster `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		Name string `json:"name"`
		User user   `json:"user"`
	} `json:"users"`
	Contexts []struct {
		Name    string `json:"name"`
		Context struct {
			Cluster    string `json:"cluster"`
			User       string `json:"user"`
			Namespace  string `json:"namespace"`
			Extensions []any  `json:"extensions"`
		} `json:"context"`
	} `json:"contexts"`
}

type cluster struct {
	Server                string `json:"server"`
	TLSServerName         string `json:"tls-server-name"`
	Authority             string `json:"certificate-authority-data"`
	AuthorityFile         any    `json:"certificate-authority"`
	InsecureSkipTLSVerify any    `json:"insecure-skip-tls-verify"`
	ProxyURL              any    `json:"proxy-url"`
	DisableCompression    bool   `json:"disable-compression"`
	Extensions            []any  `json:"extensions"`
}

type user struct {
	Certificate     string `json:"client-certificate-data"`
	Key             string `json:"client-key-data"`
	Token           string `json:"token"`
	CertificateFile any    `json:"client-certificate"`
	KeyFile         any    `json:"client-key"`
	TokenFile       any    `json:"tokenFile"`
	As              any    `json:"as"`
	AsUID           any    `json:"as-uid"`
	AsGroups        any    `json:"as-groups"`
	AsExtra         any    `json:"as-user-extra"`
	Username        any    `json:"username"`
	Password        any    `json:"password"`
	AuthProvider    any    `json:"auth-provider"`
	Exec            any    `json:"exec"`
	Extensions      []any  `json:"extensions"`
}

const hint = "make one that has nothing but server, certificate-authority-data and token, as the guide to joining shows"

func refused(format string, args ...any) error {
	return coffer.Errorf(coffer.CodeInvalidInput, "the kubeconfig: "+format, args...).WithHint(hint)
}

// Read reads a kubeconfig of one cluster, one user and one context. Its errors say all that is wrong with it, and hold nothing of its values.
func Read(text []byte) (Access, error) {
	var a Access
	if len(text) > MaxSize {
		return a, coffer.Errorf(coffer.CodeTooLarge, "the kubeconfig is larger than %d bytes", MaxSize)
	}
	var f file
	// Messages of the decoder may quote what it has read.
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		return a, refused("it is not YAML with the fields of a kubeconfig, each once")
	}
	if f.Kind != "Config" || f.APIVersion != "v1" {
		return a, refused("it is not of kind Config, apiVersion v1")
	}
	if len(f.Clusters) != 1 || len(f.Users) != 1 || len(f.Contexts) != 1 {
		return a, refused("it has %d clusters, %d users and %d contexts: one of each is taken (`kubectl config view --raw --flatten --minify`)",
			len(f.Clusters), len(f.Users), len(f.Contexts))
	}
	one := f.Contexts[0]
	if one.Context.Cluster != f.Clusters[0].Name || one.Context.User != f.Users[0].Name || f.CurrentContext != "" && f.CurrentContext != one.Name {
		return a, refused("its context is not of its cluster and its user, or is not the current one")
	}
	var found refusal.List
	f.Clusters[0].Cluster.read(&a, &found)
	f.Users[0].User.read(&a, &found)
	found.Code(coffer.CodeInvalidInput)
	return a, found.Err("the kubeconfig")
}

// unwanted is a field that has to be without a value, and why.
type unwanted struct {
	path  string
	value any
	why   string
}

func refuse(found *refusal.List, fields []unwanted) {
	for _, f := range fields {
		if set, flag := f.value.(bool); f.value != nil && f.value != "" && (set || !flag) {
			found.Addf(f.path, hint, "%s", f.why)
		}
	}
}

func (c cluster) read(a *Access, found *refusal.List) {
	refuse(found, []unwanted{
		{"cluster.certificate-authority", c.AuthorityFile, "it is a file; its content belongs into certificate-authority-data"},
		{"cluster.insecure-skip-tls-verify", c.InsecureSkipTLSVerify, "the API server has to prove itself"},
		{"cluster.proxy-url", c.ProxyURL, "the server dials the API server itself"},
	})
	at, err := url.Parse(c.Server)
	switch {
	case err != nil || at.Scheme != "https" || at.Hostname() == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" || at.Opaque != "":
		found.Addf("cluster.server", hint, "it is not https://HOST:PORT")
	default:
		at.Path, at.RawPath = strings.TrimRight(at.Path, "/"), ""
		a.Server = at
	}
	a.ServerName = c.TLSServerName
	if c.Authority == "" {
		return
	}
	if a.Authority, err = base64.StdEncoding.DecodeString(c.Authority); err != nil || !x509.NewCertPool().AppendCertsFromPEM(a.Authority) {
		found.Addf("cluster.certificate-authority-data", hint, "it is no certificates in PEM, in base64")
	}
}

func (u user) read(a *Access, found *refusal.List) {
	refuse(found, []unwanted{
		{"user.exec", u.Exec, "the server runs no programs of others"},
		{"user.auth-provider", u.AuthProvider, "the server has no such providers"},
		{"user.client-certificate", u.CertificateFile, "it is a file; its content belongs into client-certificate-data"},
		{"user.client-key", u.KeyFile, "it is a file; its content belongs into client-key-data"},
		{"user.tokenFile", u.TokenFile, "it is a file; its content belongs into token"},
		{"user.username", u.Username, "no API server takes passwords any more"},
		{"user.password", u.Password, "no API server takes passwords any more"},
		{"user.as", u.As, "the server says itself as which vault it asks"},
		{"user.as-uid", u.AsUID, "the server says itself as which vault it asks"},
		{"user.as-groups", u.AsGroups, "the server says itself as which vault it asks"},
		{"user.as-user-extra", u.AsExtra, "the server says itself as which vault it asks"},
	})
	certified := u.Certificate != "" || u.Key != ""
	if certified == (u.Token != "") {
		found.Addf("user", hint, "it has to have either a token, or a client certificate and its key")
		return
	}
	if !certified {
		if strings.ContainsFunc(u.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			found.Addf("user.token", hint, "it has characters that no token has")
		}
		a.Token, a.Ends = u.Token, endOfToken(u.Token)
		return
	}
	var errs [2]error
	a.Certificate, errs[0] = base64.StdEncoding.DecodeString(u.Certificate)
	a.Key, errs[1] = base64.StdEncoding.DecodeString(u.Key)
	pair, err := tls.X509KeyPair(a.Certificate, a.Key)
	if errs[0] != nil || errs[1] != nil || err != nil {
		found.Addf("user.client-certificate-data", hint, "it is no certificate in PEM that belongs to client-key-data, both in base64")
		return
	}
	a.Ends = pair.Leaf.NotAfter
}

// endOfToken is when a token of a ServiceAccount ends; zero if it does not say so. Nobody has proved it: it is for people.
func endOfToken(token string) time.Time {
	// Later than this it is no date that people write.
	const last = 253402300799
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Ends float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Ends <= 0 || claims.Ends > last {
		return time.Time{}
	}
	return time.Unix(int64(claims.Ends), 0).UTC()
}

// Networks are what a server may dial. The zero value is nothing.
type Networks []netip.Prefix

// special are addresses that a network has to lie inside of to mean them: this machine, its neighbours, and where clouds tell machines their secrets.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"), netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("fd00:ec2::/32"),
	// What is behind these is an address of IPv4, which would have to be looked at.
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
}

// Allow says whether an address may be dialled: it lies in one of the networks. That a network is large does not make it mean special addresses:
// 0.0.0.0/0 is without 127.0.0.1, and 127.0.0.0/8 is not.
func (n Networks) Allow(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	for _, network := range n {
		if !network.Contains(address) {
			continue
		}
		meant := true
		for _, s := range special {
			if s.Contains(address) && (network.Bits() < s.Bits() || !s.Contains(network.Addr())) {
				meant = false
			}
		}
		if meant {
			return true
		}
	}
	return false
}
