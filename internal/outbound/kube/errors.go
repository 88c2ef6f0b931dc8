package kube

import (
	"errors"
	"fmt"

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
