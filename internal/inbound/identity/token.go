package identity

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/credential"
)

const (
	// maxForm bounds the body of a request for a token.
	maxForm = 16 << 10
	// maxResource bounds the name of an API that a token is asked for.
	maxResource = 256
)

// tokenRequest is what a request for a token says.
type tokenRequest struct {
	clientID string
	secret   credential.Text
	audience string
	// basic says that the credentials came in the header.
	basic bool
}

type tokenAnswer struct {
	Type      string `json:"token_type"`
	Expires   int    `json:"expires_in"`
	Extended  int    `json:"ext_expires_in"`
	Token     string `json:"access_token"`
	ExpiresOn int64  `json:"expires_on"`
	NotBefore int64  `json:"not_before"`
	Resource  string `json:"resource"`
}

// serveToken gives a service principal a token for its secret.
func (a *Authority) serveToken(w http.ResponseWriter, r *http.Request) {
	now := a.config.NowFunc()
	if wait := a.remotes.take(remoteKey(r.RemoteAddr), now); wait > 0 {
		tooMany(wait).write(w, now)
		return
	}
	request, refused := a.readTokenRequest(w, r)
	if refused != nil {
		refused.write(w, now)
		return
	}
	client, err := a.authenticate(r.Context(), request.clientID, request.secret, now)
	if errors.Is(err, errWrongCredentials) {
		a.wrong(r, request, now).write(w, now)
		return
	}
	var answer tokenAnswer
	if err == nil {
		answer, err = a.issueToken(r, client, request.audience, now)
	}
	if err != nil {
		a.unavailable(r, err).write(w, now)
		return
	}
	a.config.Logger.Info("token issued", "client", client.clientID, "secretId", client.secretID, "remote", r.RemoteAddr)
	writeJSON(w, http.StatusOK, answer)
}

func tooMany(wait time.Duration) *oauthError {
	e := refuse(http.StatusTooManyRequests, "temporarily_unavailable", "there were too many requests for tokens: use a token until it expires, and wait a little now")
	e.retryAfter = wait
	return e
}

// wrong is the answer to wrong credentials: the same whether there is such a client or not.
func (a *Authority) wrong(r *http.Request, request tokenRequest, now time.Time) *oauthError {
	if wait := a.failures.take(strings.ToLower(request.clientID), now); wait > 0 {
		return tooMany(wait)
	}
	// Whatever is no client id may be a secret in the wrong place.
	known := "not a client id"
	if catalogue.GUID(request.clientID) {
		known = request.clientID
	}
	a.config.Logger.Warn("token refused", "client", known, "remote", r.RemoteAddr)
	e := refuse(http.StatusUnauthorized, "invalid_client",
		"the client id or its secret is wrong, or the secret has expired or was deleted; an Owner at / can make another with 'coffer service-principal'")
	e.basic = request.basic
	return e
}

// unavailable logs what went wrong, and answers that it did: anybody may ask, and where the database or a key service is, and why it
// does not answer, is for the log.
func (a *Authority) unavailable(r *http.Request, err error) *oauthError {
	a.config.Logger.Error("token endpoint failed", "path", r.URL.Path, "error", err)
	var coded *coffer.Error
	if errors.As(err, &coded) && coded.Transient {
		e := refuse(http.StatusServiceUnavailable, "temporarily_unavailable", "something that the server needs does not answer: try again in a little; its log says what")
		e.retryAfter = 5 * time.Second
		return e
	}
	return refuse(http.StatusInternalServerError, "server_error", "the server has met an internal error: its log says which")
}

// readTokenRequest reads the form, and what the header says. Nothing is taken from the URL, where secrets get into logs.
func (a *Authority) readTokenRequest(w http.ResponseWriter, r *http.Request) (tokenRequest, *oauthError) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return tokenRequest{}, refuse(http.StatusBadRequest, "invalid_request", "the body has to be application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return tokenRequest{}, refuse(http.StatusRequestEntityTooLarge, "invalid_request", "the body is larger than 16 KiB")
	case err != nil:
		return tokenRequest{}, refuse(http.StatusBadRequest, "invalid_request", "the body ended early")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return tokenRequest{}, refuse(http.StatusBadRequest, "invalid_request", "the body is not a form")
	}
	for name, values := range form {
		if len(values) > 1 {
			return tokenRequest{}, refuse(http.StatusBadRequest, "invalid_request", "a parameter is there twice: "+clipped(name))
		}
	}
	if grant := form.Get("grant_type"); grant != "client_credentials" {
		return tokenRequest{}, refuse(http.StatusBadRequest, "unsupported_grant_type",
			"the grant_type has to be client_credentials, with a client secret; people sign in at the configured OIDC issuer")
	}
	request, refused := readCredentials(r, form)
	if refused == nil {
		request.audience, refused = a.audience(r, form)
	}
	return request, refused
}

// readCredentials takes them from the body or from the header, not from both.
func readCredentials(r *http.Request, form url.Values) (tokenRequest, *oauthError) {
	request := tokenRequest{clientID: form.Get("client_id"), secret: credential.Text(form.Get("client_secret"))}
	if r.Header.Get("Authorization") != "" {
		id, secret, ok := r.BasicAuth()
		plainID, errID := url.QueryUnescape(id)
		plainSecret, errSecret := url.QueryUnescape(secret)
		if !ok || errID != nil || errSecret != nil || request.secret != "" || request.clientID != "" && request.clientID != plainID {
			return request, refuse(http.StatusBadRequest, "invalid_request", "the client's credentials have to be in the body, or in an Authorization header of type Basic")
		}
		request = tokenRequest{clientID: plainID, secret: credential.Text(plainSecret), basic: true}
	}
	switch {
	case request.clientID == "":
		return request, refuse(http.StatusBadRequest, "invalid_request", "client_id is missing")
	case request.secret == "":
		return request, refuse(http.StatusBadRequest, "invalid_request", "client_secret is missing: certificates and assertions are not taken here")
	case len(request.clientID) > 64:
		return request, refuse(http.StatusBadRequest, "invalid_request", "client_id has to be a GUID")
	}
	return request, nil
}

// audience is whom the token is for. What this server's API is called, or the address that the request came to, is this server, and
// so is nothing at all. Anything else is put into the token as it was asked for: clients want tokens for neighbours, such as Graph,
// to read in them who they are. No such token opens this server's API.
func (a *Authority) audience(r *http.Request, form url.Values) (string, *oauthError) {
	asked := form.Get("resource")
	for _, scope := range strings.Fields(form.Get("scope")) {
		if asked == "" && scope != "openid" && scope != "profile" && scope != "offline_access" {
			asked = scope
		}
	}
	name := bare(asked)
	for _, own := range append([]string{"", "https://" + r.Host}, a.audiences...) {
		if strings.EqualFold(name, own) {
			return a.config.Audiences[0], nil
		}
	}
	unprintable := strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
	if len(name) > maxResource || unprintable {
		return "", refuse(http.StatusBadRequest, "invalid_scope", "the scope or resource is not the name of an API")
	}
	return name, nil
}

// ownClaims are those of the tokens of this server, as Microsoft's name them.
type ownClaims struct {
	Issuer    string           `json:"iss"`
	Subject   string           `json:"sub"`
	Audience  string           `json:"aud"`
	IssuedAt  *jwt.NumericDate `json:"iat"`
	NotBefore *jwt.NumericDate `json:"nbf"`
	Expiry    *jwt.NumericDate `json:"exp"`
	ID        string           `json:"jti"`
	ObjectID  string           `json:"oid"`
	Tenant    string           `json:"tid"`
	AppID     string           `json:"appid"`
	Name      string           `json:"app_displayname"`
	// SecretID is the secret that the token was got with: they end together.
	SecretID string `json:"coffer_secret"`
	Version  string `json:"ver"`
}

// issueToken makes a token of one hour.
func (a *Authority) issueToken(r *http.Request, c client, audience string, now time.Time) (tokenAnswer, error) {
	key, err := a.keys.signing(r.Context())
	if err != nil {
		return tokenAnswer{}, err
	}
	id, err := uuid.NewRandomFromReader(a.config.Random)
	if err != nil {
		return tokenAnswer{}, err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: signingAlgorithm, Key: jose.JSONWebKey{Key: key.private, KeyID: key.ID}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return tokenAnswer{}, err
	}
	ends := now.Add(lifetime)
	text, err := jwt.Signed(signer).Claims(ownClaims{
		Issuer: a.issuer, Subject: c.objectID, Audience: audience, ID: id.String(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(ends),
		ObjectID: c.objectID, Tenant: a.config.Tenant, AppID: c.clientID, Name: c.name, SecretID: c.secretID, Version: "1.0",
	}).Serialize()
	if err != nil {
		return tokenAnswer{}, err
	}
	seconds := int(lifetime.Seconds())
	return tokenAnswer{
		Type: "Bearer", Expires: seconds, Extended: seconds, Token: text, ExpiresOn: ends.Unix(), NotBefore: now.Unix(), Resource: audience,
	}, nil
}

// clipped is a text of a client's, short enough for an answer.
func clipped(text string) string { return text[:min(len(text), 40)] }
