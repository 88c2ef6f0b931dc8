package vaultapi

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"golang.org/x/oauth2"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// translate turns what the libraries say into what a person can act on.
func (c *Client) translate(err error) error {
	var certificate *tls.CertificateVerificationError
	var hostname x509.HostnameError
	if coded, ok := errors.AsType[*coffer.Error](err); ok {
		return coded
	}
	if refused, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return refusal(refused)
	}
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return c.tokenRefusal(refused)
	}
	var unfit x509.CertificateInvalidError
	switch {
	case errors.As(err, &unfit) && unfit.Reason == x509.Expired:
		return fmt.Errorf("the certificate of %s is not good at this time: %w; compare the clocks of this machine and of the server", c.base, unfit)
	case errors.As(err, &hostname):
		return fmt.Errorf("the certificate of %s is for other names: %w; log in with a url of its names, or start the server with --hostname", c.base, hostname)
	case errors.As(err, &certificate):
		return fmt.Errorf("the certificate of %s is not of an authority that is trusted: %w; name its authority with `coffer login --ca-file`", c.base, certificate.Err)
	}
	return fmt.Errorf("talk to the server %s: %w", c.base, err)
}

// refusal reads an answer that is an error.
func refusal(refused *azcore.ResponseError) *coffer.Error {
	found := &coffer.Error{Code: coffer.Code(refused.ErrorCode), Message: fmt.Sprintf("the server answered %d %s", refused.StatusCode, http.StatusText(refused.StatusCode))}
	if refused.RawResponse == nil {
		return found
	}
	found.Correlation = refused.RawResponse.Header.Get("X-Ms-Correlation-Request-Id")
	if found.Correlation == "" {
		found.Correlation = refused.RawResponse.Header.Get("X-Ms-Request-Id")
	}
	text, err := runtime.Payload(refused.RawResponse)
	var body arm.CloudError
	if err != nil || json.Unmarshal(text, &body) != nil || body.Error.Code == "" {
		return found
	}
	found.Code, found.Message = coffer.Code(body.Error.Code), body.Error.Message
	for _, more := range body.Error.AdditionalInfo {
		if more.Type != arm.TypeUserFacingError || more.Info == nil {
			continue
		}
		found.Hint, found.Transient = strings.Join(more.Info.RecommendedAction, "; "), more.Info.IsRetryable
		if more.Info.Message != "" {
			found.Message = more.Info.Message
		}
	}
	for _, d := range body.Error.Details {
		found.Fields = append(found.Fields, coffer.RefusedField{Path: d.Target, Reason: d.Message})
	}
	return found
}

// tokenRefusal reads a refusal of the token endpoint.
func (c *Client) tokenRefusal(refused *oauth2.RetrieveError) *coffer.Error {
	why := refused.ErrorDescription
	if why == "" && refused.Response != nil {
		why = "it answered " + refused.Response.Status
	}
	return coffer.Errorf(coffer.CodeAuthenticationFailed, "the server %s gives client %s no token: %s", c.base, c.credential.config.ClientID, why)
}
