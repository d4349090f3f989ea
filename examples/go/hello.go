// GOOS=wasip1 GOARCH=wasm go build -o hello.wasm hello.go
package main

import (
	"fmt"
	"os"
	"sort"
	"time"
)

func main() {
	words := append([]string{}, os.Args[1:]...)
	sort.Strings(words)
	done := make(chan string)
	go func() {
		time.Sleep(time.Millisecond)
		done <- "a goroutine slept"
	}()
	if err := os.WriteFile("/words", []byte(fmt.Sprint(words)), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	written, _ := os.ReadFile("/words")
	fmt.Printf("Hello from Go! %s, %s\n", written, <-done)
}
