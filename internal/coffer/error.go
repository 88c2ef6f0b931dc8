package coffer

import (
	"errors"
	"fmt"
)

// Code is a stable word for a kind of error. AKS Backup's own codes are used where one fits, so that existing
// runbooks and alerts keep working.
type Code string

// The codes. Everything without one is internal: retried where a run can be, logged in full.
const (
	CodeInvalid                Code = "UserErrorInvalidRequest"
	CodeNamespaceNotFound      Code = "UserErrorNamespaceNotFound"
	CodeLocationNotFound       Code = "UserErrorNoDefaultBackupStorageLocationFound"
	CodeLocationNotReady       Code = "UserErrorBackupStorageLocationNotReady"
	CodeLocationReadOnly       Code = "UserErrorBackupFailedBackupStorageLocationReadOnly"
	CodeDeleteReadOnly         Code = "UserErrorDeleteBackupFailedBackupStorageLocationReadOnly"
	CodeHookFailed             Code = "UserErrorHookExecutionFailed"
	CodeHookNotFound           Code = "UserErrorHookNotFound"
	CodeBackupExists           Code = "UserErrorRecoveryPointExists"
	CodeBackupNotFound         Code = "UserErrorRecoveryPointNotFound"
	CodeBackupInUse            Code = "UserErrorRecoveryPointInUse"
	CodeArchiveCorrupt         Code = "RecoveryPointIntegrityCheckFailed"
	CodeSignerNotTrusted       Code = "UserErrorRecoveryPointSignerNotTrusted"
	CodeSigningKeyUnusable     Code = "UserErrorSigningKeyUnusable"
	CodeEncryptionKeysUnusable Code = "UserErrorEncryptionKeysUnusable"
	CodeDecryptionKeyMissing   Code = "UserErrorDecryptionKeyMissing"
	CodeModifierNotFound       Code = "UserErrorResourceModifierNotFound"
	CodeModifierFailed         Code = "UserErrorResourceModifierNotApplied"
	CodeNothingToDo            Code = "UserErrorNothingSelected"
	CodeNothingMatches         Code = "UserErrorFilterMatchesNothing"
	CodeDriverMissing          Code = "UserErrorCSIDriverNotFound"
	CodeSnapshotTimeout        Code = "CSISnapshottingTimedOut"
	CodeSnapshotUnsupported    Code = "UserErrorPVSnapshotNotSupported"
	CodeClaimNotBound          Code = "UserErrorPVCNotBoundToVolume"
	CodeVolumeNotFound         Code = "UserErrorPVNotFound"
	CodeVolumeRestoredEmpty    Code = "UserErrorPVRestoredWithoutData"
	CodeVolumePending          Code = "UserErrorPVCPending"
	CodeVolumeForeign          Code = "KubernetesRestoreVolumeNotOfSnapshot"
	CodeVolumeKept             Code = "KubernetesRestoreVolumeKept"
	CodeWorkloadNotReady       Code = "KubernetesRestoreWorkloadNotReady"
	CodeTypeNotCaptured        Code = "KubernetesBackupResourceTypeSkipped"
	CodeObjectNote             Code = "KubernetesRestoreObjectNote"
	CodeStatusNotRestored      Code = "KubernetesRestoreStatusNotWritten"
	CodeObjectFailed           Code = "KubernetesRestoreObjectFailed"
	CodeVersionNotServed       Code = "KubernetesRestoreVersionNotServed"
	CodeObjectsExist           Code = "UserErrorRestoreObjectsExist"
	CodePlanChanged            Code = "UserErrorRestorePlanChanged"
	CodePlanNotStored          Code = "KubernetesRestorePlanNotStored"
	CodeReportNotStored        Code = "KubernetesRestoreReportNotStored"
	CodeRestoreCheckFailed     Code = "RestoreTestCheckFailed"
	CodeVolumeNotTested        Code = "RestoreTestVolumeNotTested"
	CodeTracesLeft             Code = "RestoreTestTracesLeft"
	CodeNamespaceTerminating   Code = "UserErrorNamespaceTerminating"
	CodeCancelled              Code = "UserErrorCancelled"
	CodeExists                 Code = "ObjectExists"
	CodeNotFound               Code = "ObjectNotFound"
	CodeForbidden              Code = "UserErrorForbidden"
	CodeUnanswered             Code = "KubernetesListNotAnswered"
	CodeInconsistent           Code = "KubernetesBackupListInconsistent"
	CodeObjectNotCaptured      Code = "KubernetesBackupObjectSkipped"
	CodeServerError            Code = "KubernetesInternalError"
	CodeRejected               Code = "UserErrorObjectRejected"
	CodeNotTryable             Code = "KubernetesDryRunNotSupported"
	CodeRestoreNotFound        Code = "UserErrorRestoreNotFound"
	CodeBusy                   Code = "UserErrorBackupExtensionBusy"
	CodeChanged                Code = "ObjectChangedMeanwhile"
	CodeFieldsKept             Code = "KubernetesRestoreFieldsKept"
	CodeSnapshotAPIUnavailable Code = "UserErrorVolumeSnapshotAPINotFound"
	CodeSnapshotParameters     Code = "UserErrorSnapshotClassParameters"
	CodeKubernetesTooOld       Code = "UserErrorKubernetesVersionNotSupported"
	CodeVeleroPresent          Code = "UserErrorVeleroInstalled"
)

// The codes of the vault's server are ARM's own, which its clients know, and those of Azure's Backup vault.
const (
	CodeInvalidResourceID   Code = "InvalidResourceId"
	CodeInvalidInput        Code = "BMSUserErrorInvalidInput"
	CodeInvalidContent      Code = "InvalidRequestContent"
	CodeResourceNotFound    Code = "ResourceNotFound"
	CodeGroupNotFound       Code = "ResourceGroupNotFound"
	CodeParentNotFound      Code = "ParentResourceNotFound"
	CodeTypeNotFound        Code = "InvalidResourceType"
	CodeInvalidLocation     Code = "InvalidResourceLocation"
	CodePreconditionFailed  Code = "PreconditionFailed"
	CodeConflict            Code = "Conflict"
	CodeDatabaseUnavailable Code = "ServiceUnavailable"
	CodeDatabaseFull        Code = "InsufficientStorage"
	CodeSoftDeleteFixed     Code = "BMSUserErrorDisablingSoftDeleteStateNotAllowed"
	CodeInvalidWorkflowData Code = "ScenarioPluginInvalidWorkflowDataRequest"

	CodeLinkedAuthorizationFailed Code = "LinkedAuthorizationFailed"
	CodeExtensionNotFound         Code = "UserErrorKubernetesBackupExtensionNotFoundError"
	CodeTrustedAccessMissing      Code = "UserErrorTrustedAccessNotFound"
	CodeClusterNotJoined          Code = "UserErrorKubernetesClusterNotJoined"
	// CodeClusterNotReachable is of a cluster that has joined and whose link is down, CodeJoinRefused of one that may not join, and
	// CodeRunGone of a job whose run object somebody has deleted.
	CodeClusterNotReachable Code = "UserErrorKubernetesClusterNotReachable"
	CodeJoinRefused         Code = "UserErrorKubernetesClusterJoinRefused"
	CodeRunGone             Code = "UserErrorKubernetesRunDeleted"
	// CodeNotPickedUp is of a run object that the extension does not begin, and CodeCheckFailed of a validation that has failed.
	CodeNotPickedUp Code = "UserErrorKubernetesCustomResourcesNotPickedUpByExtension"
	CodeCheckFailed Code = "UserErrorKubernetesValidationFailed"
	// CodeJobUnderway is of what cannot begin while a job is under way, and CodeNotCancellable of a job that has ended or cannot be cancelled.
	CodeJobUnderway    Code = "UserErrorJobInProgress"
	CodeNotCancellable Code = "UserErrorJobNotCancellable"
	// CodeProtectionStopped is of what is not done while the protection of a backup instance is stopped, or its backups are suspended.
	CodeProtectionStopped Code = "UserErrorBackupInstanceProtectionStopped"
	// CodeQuotaReached is of what would be one more than there may be.
	CodeQuotaReached Code = "UserErrorQuotaReached"
	// CodeLegalHold is of what is under legal hold, and not deleted.
	CodeLegalHold Code = "UserErrorRecoveryPointUnderLegalHold"
	// CodeGuarded is of a critical operation on a vault under a resource guard whose request does not name the guard's, and
	// CodeInvalidExclusions of a guard that is not to cover what every guard does.
	CodeGuarded           Code = "UserErrorResourceGuardOperationRequestMissing"
	CodeInvalidExclusions Code = "BMSUserErrorInvalidCriticalOperationExclusionList"
	// CodeNotCopied is of a recovery point that did not come to the vault tier in time.
	CodeNotCopied Code = "UserErrorRecoveryPointNotCopiedToVaultTier"

	CodeMethodNotAllowed  Code = "MethodNotAllowed"
	CodeTooLarge          Code = "RequestContentTooLarge"
	CodeMediaType         Code = "UnsupportedMediaType"
	CodeTooManyRequests   Code = "TooManyRequests"
	CodeTimeout           Code = "RequestTimeout"
	CodeMissingAPIVersion Code = "MissingApiVersionParameter"
	CodeInvalidAPIVersion Code = "InvalidApiVersionParameter"
)

// The codes of who somebody is and what they may, as ARM has them where it has one.
const (
	CodeAuthenticationFailed     Code = "AuthenticationFailed"
	CodeTokenInvalid             Code = "InvalidAuthenticationToken"
	CodeTokenExpired             Code = "ExpiredAuthenticationToken"
	CodeTokenTenant              Code = "InvalidAuthenticationTokenTenant"
	CodeTokenAudience            Code = "InvalidAuthenticationTokenAudience"
	CodeIssuerUnavailable        Code = "IdentityProviderUnavailable"
	CodeAuthorizationFailed      Code = "AuthorizationFailed"
	CodeInvalidFilter            Code = "InvalidFilter"
	CodeRoleDefinitionNotFound   Code = "RoleDefinitionDoesNotExist"
	CodeRoleAssignmentExists     Code = "RoleAssignmentExists"
	CodeRoleAssignmentNotChanged Code = "RoleAssignmentUpdateNotPermitted"
	CodeLastOwner                Code = "LastOwnerCannotBeRemoved"
	CodeTooManySecrets           Code = "ServicePrincipalSecretLimitExceeded"
)

// Error is an error that a person can act on. Its code is final: whoever meets a coded error does not retry, unless
// Transient says so.
type Error struct {
	// Code is the stable kind.
	Code Code
	// Message says what happened and to which object.
	Message string
	// Hint says what to do next. Empty means there is nothing better to say than the message.
	Hint string
	// Transient says that trying again later may succeed without anybody's help.
	Transient bool
	// Fields are those of an object that the API server refused, if it named any.
	Fields []RefusedField
	// Correlation is what the log of the server that refused has it under; empty if no server did.
	Correlation string
	// Err is the cause, if there is one to show.
	Err error
}

// RefusedField is a field of an object that the API server did not take, and why.
type RefusedField struct {
	// Path is written as the API server does: spec.ports[0].nodePort.
	Path   string
	Reason string
	// Code is empty where it is that of the whole error.
	Code Code
}

// Errorf makes an Error with a formatted message. A %w verb sets the cause.
func Errorf(code Code, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: wrapped.Error(), Err: errors.Unwrap(wrapped)}
}

// WithHint adds what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Error is the message followed by the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the code of the first Error in the chain, or empty for an internal error.
func CodeOf(err error) Code {
	var coded *Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	return ""
}

// RefusedFields are those that an error names.
func RefusedFields(err error) []RefusedField {
	var coded *Error
	if errors.As(err, &coded) {
		return coded.Fields
	}
	return nil
}

// Final says whether an error carries a code and is not transient: repeating the same thing gives the same error.
func Final(err error) bool {
	var coded *Error
	return errors.As(err, &coded) && !coded.Transient
}
