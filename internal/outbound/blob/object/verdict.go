package object

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ByStatus judges an HTTP status that the store gave no better reason for.
func ByStatus(status int) Cause {
	switch status {
	case http.StatusUnauthorized:
		return Unauthenticated
	case http.StatusForbidden:
		return Forbidden
	case http.StatusNotFound:
		return Missing
	case http.StatusConflict:
		return Busy
	case http.StatusPreconditionFailed:
		return Taken
	case http.StatusRequestedRangeNotSatisfiable:
		return PastEnd
	case http.StatusTooManyRequests:
		return Throttled
	case http.StatusInsufficientStorage:
		return Full
	case http.StatusRequestTimeout:
		return Away
	}
	if status >= http.StatusInternalServerError {
		return Away
	}
	return Unknown
}

// Unanswered judges an error that is not an answer of the store: it was not reached, or broke off.
func Unanswered(err error) Cause {
	var untrusted *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return Unknown
	case errors.As(err, &untrusted), errors.As(err, &authority):
		return Untrusted
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded):
		return Away
	}
	var network net.Error
	var asked *url.Error
	if errors.As(err, &network) || errors.As(err, &asked) {
		return Away
	}
	return Unknown
}

// RetryAfter is how long the headers of an answer ask to be left alone.
func RetryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}
