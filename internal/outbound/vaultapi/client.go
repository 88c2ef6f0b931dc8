package vaultapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm/policy"
	armruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// APIVersion is that of requests which name none.
const APIVersion = "2025-07-01"

// Config says which server is called, and as whom.
type Config struct {
	// URL is https://HOST[:PORT].
	URL string
	// CA is PEM with the only authorities that the server's certificate may be of; empty is the machine's own.
	CA []byte
	// Tenant may be empty: a server knows which is its own.
	Tenant, ClientID, ClientSecret string
	// Token is used in place of a secret, if it has a text.
	Token Token
	// Version of the program.
	Version string
	// Interval is between questions about a long-running operation where the server does not say; zero is a second.
	Interval time.Duration
}

// Token opens the server's API until it expires.
type Token struct {
	Text    string
	Expires time.Time
}

// Client calls one server. It may be used concurrently. What a server refuses is a *coffer.Error with the server's code.
type Client struct {
	base       string
	pipeline   runtime.Pipeline
	credential *credential
	interval   time.Duration
}

// New makes a client. Nothing is called yet.
func New(c Config) (*Client, error) {
	base, err := checkURL(c.URL)
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(base, c.CA)
	if err != nil {
		return nil, err
	}
	made := &Client{base: base.String(), credential: newCredential(c, base.String(), transport), interval: c.Interval}
	if made.interval == 0 {
		made.interval = time.Second
	}
	options := &policy.ClientOptions{
		ClientOptions: azpolicy.ClientOptions{
			Cloud: cloud.Configuration{
				ActiveDirectoryAuthorityHost: made.base,
				Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: made.base, Audience: made.base}},
			},
			Retry:     azpolicy.RetryOptions{MaxRetries: 2, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 10 * time.Second, ShouldRetry: worthRetrying},
			Telemetry: azpolicy.TelemetryOptions{ApplicationID: "coffer"},
			Transport: transport,
		},
		// All providers of such a server are registered.
		DisableRPRegistration: true,
	}
	made.pipeline, err = armruntime.NewPipeline("coffer", version(c.Version), made.credential, runtime.PipelineOptions{}, options)
	if err != nil {
		return nil, fmt.Errorf("prepare calls of %s: %w", made.base, err)
	}
	return made, nil
}

// checkURL takes the url of a server, without what could stand behind its port.
func checkURL(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	switch {
	case err != nil:
		return nil, errors.New("the url of the server cannot be read: write https://HOST:PORT")
	case u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q is not the url of a server: write https://HOST:PORT", u.Redacted())
	}
	return u, nil
}

// version is one that a User-Agent may have.
func version(given string) string {
	if given == "" || strings.ContainsFunc(given, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "dev"
	}
	return given
}

// Token is one that opens the server's API.
func (c *Client) Token(ctx context.Context) (Token, error) {
	t, err := c.credential.GetToken(ctx, azpolicy.TokenRequestOptions{})
	if err != nil {
		return Token{}, c.translate(err)
	}
	return Token{Text: t.Token, Expires: t.ExpiresOn}, nil
}

// Call is one request.
type Call struct {
	// Method is HTTP's, and Path begins with a slash; it may have a query.
	Method, Path string
	// Header is added, and Body is JSON; both may be nil.
	Header http.Header
	Body   []byte
	// Follow waits for the end of what the request begins. Progress, if it is there, is told the state now and then until then.
	Follow   bool
	Progress func(state string)
}

// Reply is what came of a Call.
type Reply struct {
	Status int
	// Body is JSON, or nil.
	Body json.RawMessage
	// Operation is where a long-running operation is followed that was not waited for.
	Operation string
}

// Do makes one request, and with Follow those that its operation takes. A request that is lost is made again, unless it is a POST:
// that could do a thing twice.
func (c *Client) Do(ctx context.Context, call Call) (Reply, error) {
	request, err := c.request(ctx, call)
	if err != nil {
		return Reply{}, err
	}
	response, err := c.pipeline.Do(request)
	if err != nil {
		return Reply{}, c.translate(err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		defer func() { _ = response.Body.Close() }()
		return Reply{}, c.translate(runtime.NewResponseError(response))
	}
	if call.Follow {
		return c.follow(ctx, response, call.Progress)
	}
	body, err := runtime.Payload(response)
	if err != nil {
		return Reply{}, c.translate(err)
	}
	reply := Reply{Status: response.StatusCode, Operation: response.Header.Get("Azure-AsyncOperation")}
	reply.Body, err = checkJSON(body)
	return reply, err
}

func checkJSON(body []byte) (json.RawMessage, error) {
	switch {
	case len(body) == 0:
		return nil, nil
	case !json.Valid(body):
		return nil, errors.New("the answer is not JSON: is this the url of a server of Backup vaults?")
	}
	return body, nil
}

func (c *Client) request(ctx context.Context, call Call) (*azpolicy.Request, error) {
	if !strings.HasPrefix(call.Path, "/") {
		return nil, fmt.Errorf("the path %q does not begin with a slash", call.Path)
	}
	if call.Method == http.MethodPost {
		ctx = azpolicy.WithRetryOptions(ctx, azpolicy.RetryOptions{MaxRetries: -1})
	}
	request, err := runtime.NewRequest(ctx, call.Method, c.base+call.Path)
	if err != nil {
		return nil, fmt.Errorf("the path %q: %w", call.Path, err)
	}
	raw := request.Raw()
	if query := raw.URL.Query(); !query.Has("api-version") {
		query.Set("api-version", APIVersion)
		raw.URL.RawQuery = query.Encode()
	}
	raw.Header.Set("Accept", "application/json")
	for name, values := range call.Header {
		raw.Header[http.CanonicalHeaderKey(name)] = values
	}
	if call.Body != nil {
		if err := request.SetBody(seekable{bytes.NewReader(call.Body)}, "application/json"); err != nil {
			return nil, fmt.Errorf("prepare the request: %w", err)
		}
	}
	return request, nil
}

// seekable is a body that can be sent again.
type seekable struct{ io.ReadSeeker }

// Close implements io.Closer.
func (seekable) Close() error { return nil }
