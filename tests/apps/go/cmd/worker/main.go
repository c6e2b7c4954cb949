// The worker: says that it is there, and waits.
package main

import (
	"fmt"
	"time"

	"example.com/service/internal/greet"
)

func main() {
	for {
		fmt.Println(greet.Word(), "from the worker")
		time.Sleep(time.Minute)
	}
}
