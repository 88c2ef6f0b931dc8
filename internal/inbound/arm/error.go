package arm

import (
	"errors"
	"net/http"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// statuses are the HTTP statuses of the codes. A code that is not here is a mistake in the request, 400; an error without a code
// is ours, 500.
var statuses = map[coffer.Code]int{
	coffer.CodeResourceNotFound:     http.StatusNotFound,
	coffer.CodeGroupNotFound:        http.StatusNotFound,
	coffer.CodeParentNotFound:       http.StatusNotFound,
	coffer.CodeTypeNotFound:         http.StatusNotFound,
	coffer.CodeMethodNotAllowed:     http.StatusMethodNotAllowed,
	coffer.CodePreconditionFailed:   http.StatusPreconditionFailed,
	coffer.CodeConflict:             http.StatusConflict,
	coffer.CodeAuthenticationFailed: http.StatusUnauthorized,
	coffer.CodeTokenInvalid:         http.StatusUnauthorized,
	coffer.CodeTokenExpired:         http.StatusUnauthorized,
	coffer.CodeTokenTenant:          http.StatusUnauthorized,
	coffer.CodeTokenAudience:        http.StatusUnauthorized,
	coffer.CodeIssuerUnavailable:    http.StatusServiceUnavailable,
	coffer.CodeAuthorizationFailed:  http.StatusForbidden,
	coffer.CodeRoleAssignmentExists: http.StatusConflict,
	coffer.CodeLastOwner:            http.StatusConflict,
	coffer.CodeTooLarge:             http.StatusRequestEntityTooLarge,
	coffer.CodeMediaType:            http.StatusUnsupportedMediaType,
	coffer.CodeTooManyRequests:      http.StatusTooManyRequests,
	coffer.CodeDatabaseUnavailable:  http.StatusServiceUnavailable,
	coffer.CodeTimeout:              http.StatusServiceUnavailable,
}

// cloudError is ARM's error body, with what Azure's Backup vault adds for people.
type cloudError struct {
	Error errorBody `json:"error"`
}

type errorBody struct {
	Code           coffer.Code      `json:"code"`
	Message        string           `json:"message"`
	Target         string           `json:"target,omitempty"`
	Details        []errorBody      `json:"details"`
	AdditionalInfo []additionalInfo `json:"additionalInfo,omitempty"`
}

type additionalInfo struct {
	Type string          `json:"type"`
	Info userFacingError `json:"info"`
}

type userFacingError struct {
	Code              coffer.Code       `json:"code"`
	Message           string            `json:"message"`
	Target            string            `json:"target"`
	RecommendedAction []string          `json:"recommendedAction"`
	IsRetryable       bool              `json:"isRetryable"`
	IsUserError       bool              `json:"isUserError"`
	Properties        map[string]string `json:"properties"`
}

// codeInternal is what clients are told where an error is ours; the log has the rest.
const codeInternal coffer.Code = "InternalServerError"

// describe turns an error into a status and a body. Of an error without a code nothing is said but where to find it.
func describe(err error, requestID string) (status int, body cloudError) {
	coded, ok := errors.AsType[*coffer.Error](err)
	if !ok {
		message := "internal error; the server's log says more under the correlation id " + requestID
		return http.StatusInternalServerError, cloudError{errorBody{Code: codeInternal, Message: message, Details: []errorBody{}}}
	}
	status, known := statuses[coded.Code]
	if !known {
		status = http.StatusBadRequest
	}
	info := userFacingError{
		Code: coded.Code, Message: coded.Message, RecommendedAction: []string{}, IsRetryable: coded.Transient,
		IsUserError: status < http.StatusInternalServerError, Properties: map[string]string{"ActivityId": requestID},
	}
	// The message alone is what most clients print.
	shown := errorBody{Code: coded.Code, Message: coded.Error(), Details: details(err), AdditionalInfo: []additionalInfo{{"UserFacingError", info}}}
	if coded.Hint != "" {
		shown.AdditionalInfo[0].Info.RecommendedAction = []string{coded.Hint}
	}
	return status, cloudError{shown}
}

// details are the errors that one joins, if it joins several.
func details(err error) []errorBody {
	found := []errorBody{}
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return found
	}
	for _, one := range joined.Unwrap() {
		if coded, ok := errors.AsType[*coffer.Error](one); ok {
			found = append(found, errorBody{Code: coded.Code, Message: coded.Error(), Details: []errorBody{}})
		}
	}
	return found
}
