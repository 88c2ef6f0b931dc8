package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Authenticate says whose the value of an Authorization header is. What is wrong with it is an error whose code says which 401 it
// is: AuthenticationFailed where there is no bearer, ExpiredAuthenticationToken, InvalidAuthenticationTokenAudience,
// InvalidAuthenticationTokenTenant, and InvalidAuthenticationToken for all else. Where it cannot be found out now, because the issuer
// or the database is away, the error is Transient and says so: that is no 401.
func (a *Authority) Authenticate(ctx context.Context, header string) (catalogue.Principal, error) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(header), " ")
	token = strings.TrimSpace(token)
	switch {
	case header == "":
		return catalogue.Principal{}, coffer.Errorf(coffer.CodeAuthenticationFailed, "Authentication failed. The 'Authorization' header is missing.").
			WithHint("get a token from /%s/oauth2/v2.0/token, or run 'coffer login'", a.config.Tenant)
	case !strings.EqualFold(scheme, "Bearer") || token == "":
		return catalogue.Principal{}, coffer.Errorf(coffer.CodeAuthenticationFailed, "Authentication failed. The 'Authorization' header is provided in an invalid format.").
			WithHint("write 'Authorization: Bearer TOKEN'")
	case len(token) > maxToken:
		return catalogue.Principal{}, invalid("it has %d characters: at most %d are taken", len(token), maxToken)
	}
	issuer, err := issuerOf(token)
	if err != nil {
		return catalogue.Principal{}, err
	}
	if issuer == a.issuer {
		return a.verifyOwn(ctx, token)
	}
	if t, ok := a.trusted[issuer]; ok {
		return t.verify(ctx, token)
	}
	// Of the tokens of another server of this kind, the tenant is what people look at.
	if rest, ok := strings.CutSuffix(issuer, "/v2.0"); ok && !strings.HasSuffix(strings.ToLower(rest), "/"+strings.ToLower(a.config.Tenant)) {
		return catalogue.Principal{}, coffer.Errorf(coffer.CodeTokenTenant, "The access token is from the wrong issuer '%s'. It must match the tenant '%s' of this server.", clipped(issuer), a.config.Tenant).
			WithHint("get a token from this server, or let its operator trust that issuer")
	}
	return catalogue.Principal{}, invalid("its issuer is not trusted")
}

// invalid is the refusal of a token.
func invalid(format string, args ...any) *coffer.Error {
	return coffer.Errorf(coffer.CodeTokenInvalid, "The access token is invalid: "+format, args...).WithHint("get another one")
}

// issuerOf reads who says to have issued a token; nothing is verified by that.
func issuerOf(token string) (string, error) {
	parsed, err := jwt.ParseSigned(token, slices.Concat([]jose.SignatureAlgorithm{signingAlgorithm}, asymmetric))
	if err != nil {
		return "", invalid("it is not a JWT that is signed with a private key")
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil {
		return "", invalid("its claims cannot be read")
	}
	return c.Issuer, nil
}

// verifyOwn verifies a token of this server.
func (a *Authority) verifyOwn(ctx context.Context, token string) (catalogue.Principal, error) {
	now := a.config.NowFunc()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{signingAlgorithm})
	if err != nil || len(parsed.Headers) != 1 {
		return catalogue.Principal{}, invalid("it is not signed as this server signs")
	}
	key, err := a.keys.verifying(ctx, parsed.Headers[0].KeyID)
	if err != nil {
		return catalogue.Principal{}, err
	}
	if key == nil {
		return catalogue.Principal{}, invalid("the key that it is signed with is not one of this server")
	}
	var c ownClaims
	if err := parsed.Claims(key, &c); err != nil {
		return catalogue.Principal{}, invalid("its signature is not this server's")
	}
	standard := jwt.Claims{Issuer: c.Issuer, Audience: jwt.Audience{c.Audience}, IssuedAt: c.IssuedAt, NotBefore: c.NotBefore, Expiry: c.Expiry}
	if err := checkClaims(standard, a.issuer, a.config.Audiences[:1], now); err != nil {
		return catalogue.Principal{}, err
	}
	if !strings.EqualFold(c.Tenant, a.config.Tenant) {
		return catalogue.Principal{}, coffer.Errorf(coffer.CodeTokenTenant, "The access token is of another tenant than '%s'.", a.config.Tenant).WithHint("get a token for that one")
	}
	there, err := a.still(ctx, c, now)
	if err != nil {
		return catalogue.Principal{}, fmt.Errorf("look for the client of a token: %w", err)
	}
	if !there {
		return catalogue.Principal{}, invalid("the service principal %s, or the secret that the token was got with, is there no more", c.AppID)
	}
	return catalogue.Principal{ObjectID: c.ObjectID, Name: c.Name, AppID: c.AppID, Tenant: c.Tenant}, nil
}

// checkClaims holds what all tokens have to: whose they are, for whom, and when.
func checkClaims(c jwt.Claims, issuer string, audiences []string, now time.Time) error {
	if c.Expiry == nil {
		return invalid("it never expires")
	}
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: issuer, AnyAudience: audiences, Time: now}, skew)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrExpired):
		return coffer.Errorf(coffer.CodeTokenExpired, "The access token expiry UTC time '%s' is earlier than current UTC time '%s'.",
			c.Expiry.Time().UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)).
			WithHint("get another one; if it was got just now, compare the clocks")
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return coffer.Errorf(coffer.CodeTokenInvalid, "The access token is not valid yet: current UTC time is '%s'.", now.UTC().Format(time.RFC3339)).
			WithHint("compare the clocks of this server and of the issuer: they may be %s apart", skew)
	case errors.Is(err, jwt.ErrInvalidAudience):
		return coffer.Errorf(coffer.CodeTokenAudience, "The access token has been obtained for wrong audience or resource '%s'. It should exactly match one of '%s'.",
			clipped(strings.Join(c.Audience, ",")), strings.Join(audiences, "','")).
			WithHint("ask for a token with the scope %s/.default", bare(audiences[0]))
	}
	return invalid("its issuer is another")
}
