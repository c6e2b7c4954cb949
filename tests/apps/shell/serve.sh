#!/bin/bash
# Serves the folder site with a server that the Aptfile brings.
exec busybox httpd -f -v -p "0.0.0.0:$PORT" -h site
