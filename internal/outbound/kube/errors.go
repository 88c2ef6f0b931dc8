package kube

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// translate gives an answer of the API server its code, where it has one that a run acts on.
func translate(err error, format string, args ...any) error {
	doing := fmt.Sprintf(format, args...)
	var code coffer.Code
	switch {
	case apierrors.IsAlreadyExists(err):
		code = coffer.CodeExists
	case apierrors.HasStatusCause(err, "NamespaceTerminating"):
		code = coffer.CodeNamespaceTerminating
	case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		code = coffer.CodeNotFound
	case apierrors.IsForbidden(err):
		code = coffer.CodeForbidden
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		code = coffer.CodeRejected
	case apierrors.IsInternalError(err):
		transient := coffer.Errorf(coffer.CodeServerError, "%s: %w", doing, err)
		transient.Transient = true
		return transient
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
	e := coffer.Errorf(code, "%s: %w", doing, err)
	e.Fields = refusedFields(err)
	return e
}

// translateWrite is translate for a write. What may not be done to a type at all exists nonetheless; and of an answer that names a
// fault of the request, in which webhooks are free to choose, asking again brings no other.
func translateWrite(err error, format string, args ...any) error {
	var code coffer.Code
	switch translated := translate(err, format, args...); {
	case apierrors.IsMethodNotSupported(err):
		code = coffer.CodeRejected
	case awaitsDefaultAccount(err):
		code = coffer.CodeServerError
	case coffer.CodeOf(translated) != "":
		return translated
	case apierrors.IsConflict(err):
		// Somebody else writes at the same time. That passes.
		code = coffer.CodeServerError
	case faultsRequest(err):
		code = coffer.CodeRejected
	default:
		return translated
	}
	e := coffer.Errorf(code, "%s: %w", fmt.Sprintf(format, args...), err)
	e.Transient = code == coffer.CodeServerError
	return e
}

// awaitsDefaultAccount says that a Pod was refused for want of its namespace's default ServiceAccount, which a controller makes in every new
// namespace a moment after it. The admission plugin has no reason of its own for it, so it is known by its words.
func awaitsDefaultAccount(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), `error looking up service account`) &&
		strings.Contains(err.Error(), `serviceaccount "default" not found`)
}

// faultsRequest says that an answer blames the request, and neither the moment nor who makes it.
func faultsRequest(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	switch code := status.Status().Code; code {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusConflict, http.StatusGone, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	default:
		return code >= 400 && code < 500
	}
}

// fieldsShown bounds the fields that an error names.
const fieldsShown = 20

// refusedFields are those that a refusal names.
func refusedFields(err error) []coffer.RefusedField {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var fields []coffer.RefusedField
	for _, cause := range status.Status().Details.Causes {
		if cause.Field != "" && cause.Field != "<nil>" && len(fields) < fieldsShown {
			fields = append(fields, coffer.RefusedField{Path: cause.Field, Reason: cause.Message})
		}
	}
	return fields
}

// expiredContinue is the token to go on with after "410 Gone", or empty for any other answer.
func expiredContinue(err error) string {
	if !apierrors.IsResourceExpired(err) {
		return ""
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ""
	}
	return listContinue(status.Status())
}

func listContinue(s metav1.Status) string { return s.Continue }
