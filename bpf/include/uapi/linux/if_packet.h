/* Left empty on purpose: BCC includes it and needs nothing from it. */
