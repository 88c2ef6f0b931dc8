package coffer

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// lenient accepts what an API server may send for all that is known: it is passed on as it came.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// DecodeHeader reads the header off an object's JSON, and is an error if the text as a whole is no JSON object. Every object of
// a cluster goes through it: it takes a quarter of the time that encoding/json does.
func DecodeHeader(body []byte) (Header, error) {
	var h Header
	err := json.Unmarshal(body, &h, lenient)
	return h, err
}
