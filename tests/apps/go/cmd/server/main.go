// The server: says hello with a number of its own.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"example.com/service/internal/greet"
	"github.com/google/uuid"
)

func main() {
	id := uuid.NewString()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s from %s\n", greet.Word(), id)
	})
	log.Fatal(http.ListenAndServe("0.0.0.0:"+os.Getenv("PORT"), nil))
}
