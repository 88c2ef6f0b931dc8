// Package bounded reads what others have written without letting it cost more than it is worth: a few bytes of gzip unpack
// to a thousand times as many, and a few of JSON to a hundred times as many in memory.
package bounded
