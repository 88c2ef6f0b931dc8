package arm

// CloudError is the body of every answer that is an error.
type CloudError struct {
	Error ErrorBody `json:"error"`
}

// ErrorBody is an error in ARM's form.
type ErrorBody struct {
	Code           string                `json:"code"`
	Message        string                `json:"message"`
	Target         string                `json:"target,omitempty"`
	Details        []ErrorBody           `json:"details,omitempty"`
	AdditionalInfo []ErrorAdditionalInfo `json:"additionalInfo,omitempty"`
}

// ErrorAdditionalInfo is more about an error.
type ErrorAdditionalInfo struct {
	Type string           `json:"type"`
	Info *UserFacingError `json:"info"`
}

// TypeUserFacingError is the type of additional info that a UserFacingError is.
const TypeUserFacingError = "UserFacingError"

// UserFacingError is an error as Backup vaults tell it: also in jobs, and of instances.
type UserFacingError struct {
	Code              string            `json:"code"`
	Message           string            `json:"message"`
	Target            string            `json:"target,omitempty"`
	Details           []UserFacingError `json:"details,omitempty"`
	InnerError        *InnerError       `json:"innerError,omitempty"`
	IsRetryable       bool              `json:"isRetryable"`
	IsUserError       bool              `json:"isUserError"`
	RecommendedAction []string          `json:"recommendedAction"`
	Properties        map[string]string `json:"properties,omitempty"`
}

// InnerError is a cause.
type InnerError struct {
	Code               string            `json:"code"`
	AdditionalInfo     map[string]string `json:"additionalInfo,omitempty"`
	EmbeddedInnerError *InnerError       `json:"embeddedInnerError,omitempty"`
}
