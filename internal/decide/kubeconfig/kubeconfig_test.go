package kubeconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// authority is a certificate in PEM, in base64.
func authority(t *testing.T) string {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func text(cluster, user string) string {
	return "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: c, cluster: {" + cluster + "}}]\nusers: [{name: u, user: {" + user + "}}]\n" +
		"contexts: [{name: x, context: {cluster: c, user: u, namespace: n}}]\n"
}

func TestAKubeconfigOfNothingButAnAddressATrustAndATokenIsTaken(t *testing.T) {
	ca := authority(t)
	a, err := Read([]byte(text("server: 'https://api.example:6443/k8s/', insecure-skip-tls-verify: false, tls-server-name: kubernetes, certificate-authority-data: "+ca, "token: s3cret")))
	if err != nil {
		t.Fatal(err)
	}
	if a.Server.String() != "https://api.example:6443/k8s" || a.Token != "s3cret" || a.ServerName != "kubernetes" || len(a.Authority) == 0 {
		t.Errorf("read: %+v", a)
	}
	// The machine's roots do for a public certificate.
	if _, err := Read([]byte(text("server: 'https://[2001:db8::1]'", "token: s3cret"))); err != nil {
		t.Error(err)
	}
}

func TestAKubeconfigSaysHowLongItIsGood(t *testing.T) {
	token := func(claims string) string {
		return "token: e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x"
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ends := time.Date(2027, 2, 19, 23, 58, 12, 0, time.UTC)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: ends}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	in := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for user, want := range map[string]time.Time{
		token(`{"exp":1803081492}`):             ends,
		token(`{"exp":1803081492.9,"iss":"x"}`): ends,
		token(`{"exp":"soon"}`):                 {},
		token(`{"exp":1e300}`):                  {},
		token(`{"exp":-1}`):                     {},
		token(`{}`):                             {},
		token(`[`):                              {},
		"token: s3cret":                         {},
		"token: a.b.c":                          {},
		"client-certificate-data: " + in("CERTIFICATE", der) + ", client-key-data: " + in("PRIVATE KEY", private): ends,
	} {
		a, err := Read([]byte(text("server: 'https://api.example'", user)))
		if err != nil || !a.Ends.Equal(want) {
			t.Errorf("%.60s: %v, %v, want %v", user, a.Ends, err, want)
		}
	}
}

func TestKubeconfigsThatCouldDoMoreAreRefused(t *testing.T) {
	const server, token = "server: 'https://api.example:6443'", "token: s3cret"
	for _, c := range []struct{ name, text, want string }{
		{"a program", text(server, "exec: {apiVersion: v1, command: s3cret}"), "exec"},
		{"a program beside a token", text(server, token+", exec: {command: s3cret}"), "exec"},
		{"a provider", text(server, "auth-provider: {name: s3cret}"), "auth-provider"},
		{"a file of a token", text(server, "tokenFile: /s3cret"), "tokenFile"},
		{"a file of a certificate", text(server, token+", client-certificate: /s3cret"), "client-certificate"},
		{"a file of a key", text(server, token+", client-key: /s3cret"), "client-key"},
		{"a password", text(server, "username: u, password: s3cret"), "password"},
		{"somebody else", text(server, token+", as: s3cret"), "user.as"},
		{"groups", text(server, token+", as-groups: [s3cret]"), "as-groups"},
		{"no groups", text(server, token+", as-groups: []"), "as-groups"},
		{"a uid", text(server, token+", as-uid: s3cret"), "as-uid"},
		{"more of somebody else", text(server, token+", as-user-extra: {a: [s3cret]}"), "as-user-extra"},
		{"nobody", text(server, ""), "either a token"},
		{"a token and a certificate", text(server, token+", client-key-data: czNjcmV0"), "either a token"},
		{"no certificate", text(server, "client-key-data: czNjcmV0, client-certificate-data: czNjcmV0"), "client-certificate-data"},
		{"a token of two lines", text(server, `token: "s3cret\nX: y"`), "token"},
		{"no proof", text(server+", insecure-skip-tls-verify: true", token), "insecure-skip-tls-verify"},
		{"no proof, as a text", text(server+", insecure-skip-tls-verify: 'true'", token), "insecure-skip-tls-verify"},
		{"a file of an authority", text(server+", certificate-authority: /s3cret", token), "certificate-authority"},
		{"no authority", text(server+", certificate-authority-data: czNjcmV0", token), "certificate-authority-data"},
		{"a proxy", text(server+", proxy-url: 'http://s3cret'", token), "proxy-url"},
		{"no TLS", text("server: 'http://s3cret'", token), "https"},
		{"no scheme", text("server: 's3cret:6443'", token), "https"},
		{"a password in the url", text("server: 'https://u:s3cret@api.example'", token), "https"},
		{"a query", text("server: 'https://api.example?s3cret'", token), "https"},
		{"no server", text("", token), "https"},
		{"a field that is not known", text(server+", s3cret: 1", token), "YAML"},
		{"a field twice", text(server+", "+server, token), "YAML"},
		{"no YAML", "s3cret: [", "YAML"},
		{"nothing", "", "kind Config"},
		{"something else", "apiVersion: v1\nkind: Secret\n", "kind Config"},
		{"two users", strings.Replace(text(server, token), "users: [", "users: [{name: v, user: {token: s3cret}}, ", 1), "2 users"},
		{"another context", strings.Replace(text(server, token), "current-context: x", "current-context: s3cret", 1), "current"},
		{"another user", strings.Replace(text(server, token), "user: u,", "user: s3cret,", 1), "context"},
		{"too much", text(server, token) + strings.Repeat("#", MaxSize), "larger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v", err)
			}
			if code := coffer.CodeOf(err); code != coffer.CodeInvalidInput && code != coffer.CodeTooLarge {
				t.Errorf("its code is %q", code)
			}
		})
	}
}

func TestNetworksMeanNoSpecialAddressesUnlessTheyLieInThem(t *testing.T) {
	all := Networks{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	for _, c := range []struct {
		networks Networks
		address  string
		want     bool
	}{
		{nil, "10.0.0.1", false},
		{all, "10.0.0.1", true},
		{all, "2001:db8::1", true},
		{all, "127.0.0.1", false},
		{all, "::ffff:127.0.0.1", false},
		{all, "::1", false},
		{all, "::", false},
		{all, "0.0.0.0", false},
		{all, "169.254.169.254", false},
		{all, "::ffff:169.254.169.254", false},
		{all, "64:ff9b::a9fe:a9fe", false},
		{all, "2002:a9fe:a9fe::1", false},
		{all, "fd00:ec2::254", false},
		{all, "fe80::1%eth0", false},
		{all, "168.63.129.16", false},
		{all, "100.100.100.200", false},
		{all, "224.0.0.1", false},
		{all, "255.255.255.255", false},
		{Networks{netip.MustParsePrefix("127.0.0.0/8")}, "127.0.0.1", true},
		{Networks{netip.MustParsePrefix("127.0.0.1/32")}, "127.0.0.1", true},
		{Networks{netip.MustParsePrefix("126.0.0.0/7")}, "127.0.0.1", false},
		{append(all, netip.MustParsePrefix("127.0.0.1/32")), "127.0.0.1", true},
		{Networks{netip.MustParsePrefix("10.0.0.0/8")}, "::ffff:10.0.0.1", true},
		{Networks{netip.MustParsePrefix("10.0.0.0/8")}, "11.0.0.1", false},
	} {
		if got := c.networks.Allow(netip.MustParseAddr(c.address)); got != c.want {
			t.Errorf("%v allow %s: %t", c.networks, c.address, got)
		}
	}
}
