package arm

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// statuses are the HTTP statuses of the codes. A code that is not here is a mistake in the request, 400; an error without a code
// is ours, 500.
var statuses = map[coffer.Code]int{
	coffer.CodeResourceNotFound:          http.StatusNotFound,
	coffer.CodeGroupNotFound:             http.StatusNotFound,
	coffer.CodeParentNotFound:            http.StatusNotFound,
	coffer.CodeTypeNotFound:              http.StatusNotFound,
	coffer.CodeMethodNotAllowed:          http.StatusMethodNotAllowed,
	coffer.CodePreconditionFailed:        http.StatusPreconditionFailed,
	coffer.CodeConflict:                  http.StatusConflict,
	coffer.CodeAuthenticationFailed:      http.StatusUnauthorized,
	coffer.CodeTokenInvalid:              http.StatusUnauthorized,
	coffer.CodeTokenExpired:              http.StatusUnauthorized,
	coffer.CodeTokenTenant:               http.StatusUnauthorized,
	coffer.CodeTokenAudience:             http.StatusUnauthorized,
	coffer.CodeIssuerUnavailable:         http.StatusServiceUnavailable,
	coffer.CodeAuthorizationFailed:       http.StatusForbidden,
	coffer.CodeLinkedAuthorizationFailed: http.StatusForbidden,
	coffer.CodeGuarded:                   http.StatusForbidden,
	coffer.CodeRoleAssignmentExists:      http.StatusConflict,
	coffer.CodeLastOwner:                 http.StatusConflict,
	coffer.CodeTooManySecrets:            http.StatusConflict,
	coffer.CodeTooLarge:                  http.StatusRequestEntityTooLarge,
	coffer.CodeMediaType:                 http.StatusUnsupportedMediaType,
	coffer.CodeTooManyRequests:           http.StatusTooManyRequests,
	coffer.CodeDatabaseUnavailable:       http.StatusServiceUnavailable,
	coffer.CodeDatabaseFull:              http.StatusInsufficientStorage,
	coffer.CodeTimeout:                   http.StatusServiceUnavailable,
	coffer.CodeClusterNotReachable:       http.StatusServiceUnavailable,
	coffer.CodeBusy:                      http.StatusServiceUnavailable,
	coffer.CodeServerError:               http.StatusBadGateway,
	coffer.CodeJobUnderway:               http.StatusConflict,
	coffer.CodeNotCancellable:            http.StatusConflict,
	coffer.CodeProtectionStopped:         http.StatusConflict,
	coffer.CodeLegalHold:                 http.StatusConflict,
	coffer.CodeQuotaReached:              http.StatusConflict,
	coffer.CodeRestoreNotFound:           http.StatusNotFound,
	coffer.CodePlanNotStored:             http.StatusNotFound,
	coffer.CodeReportNotStored:           http.StatusNotFound,
}

// codeInternal is what clients are told where an error is ours; the log has the rest.
const codeInternal coffer.Code = "InternalServerError"

// describe turns an error into a status and a body. Of an error without a code nothing is said but where to find it.
func describe(err error, requestID string) (status int, body arm.CloudError) {
	coded, ok := errors.AsType[*coffer.Error](err)
	if !ok {
		message := "internal error; the server's log says more under the correlation id " + requestID
		return http.StatusInternalServerError, arm.CloudError{Error: arm.ErrorBody{Code: string(codeInternal), Message: message}}
	}
	// Where the database is, and why it is away, is for the log.
	switch coded.Code {
	case coffer.CodeDatabaseUnavailable:
		coded = &coffer.Error{Code: coded.Code, Message: "the server's database does not answer", Hint: "try again later", Transient: true}
	case coffer.CodeDatabaseFull:
		coded = &coffer.Error{
			Code: coded.Code, Message: "the server's database has no room left, and nothing was written", Hint: "have whoever runs the server make room on its disk, and try again", Transient: true,
		}
	}
	status, known := statuses[coded.Code]
	if !known {
		status = http.StatusBadRequest
	}
	info := &arm.UserFacingError{
		Code: string(coded.Code), Message: coded.Message, IsRetryable: coded.Transient, IsUserError: status < http.StatusInternalServerError,
		RecommendedAction: []string{}, Properties: map[string]string{"ActivityId": requestID},
	}
	if coded.Hint != "" {
		info.RecommendedAction = []string{coded.Hint}
	}
	shown := arm.ErrorBody{
		// The message alone is what most clients print.
		Code: string(coded.Code), Message: coded.Error(),
		AdditionalInfo: []arm.ErrorAdditionalInfo{{Type: arm.TypeUserFacingError, Info: info}},
	}
	for _, f := range coded.Fields {
		shown.Details = append(shown.Details, arm.ErrorBody{Code: string(cmp.Or(f.Code, coded.Code)), Message: f.Reason, Target: f.Path})
	}
	if len(coded.Fields) == 1 {
		shown.Target = coded.Fields[0].Path
	}
	return status, arm.CloudError{Error: shown}
}
