// Package greet knows one word.
package greet

// Word is the word.
func Word() string { return "Hello from Go" }
