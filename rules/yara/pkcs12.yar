// RFC 7292: PFX version 3 whose content is data; key bags (1.2.840.113549.1.12.10.1.1 and .2) stand outside the encrypted part. Stores of trusted
// certificates have none.
rule pkcs12_private_key
{
    meta:
        id = "keystore.pkcs12"
        name = "PKCS 12 key store with a private key"
        kind = "secret"
        severity = "high"
        confidence = "high"
        why = "Holds a private key, guarded by a password that is often empty, changeit or written in the configuration beside it."
        fix = "Make a new key and certificate, and revoke this one."
        reference = "https://www.rfc-editor.org/rfc/rfc7292"
    strings:
        $definite = { 30 82 ?? ?? 02 01 03 30 82 ?? ?? 06 09 2A 86 48 86 F7 0D 01 07 01 }
        $indefinite = { 30 80 02 01 03 30 80 06 09 2A 86 48 86 F7 0D 01 07 01 }
        $key_bag = { 06 0B 2A 86 48 86 F7 0D 01 0C 0A 01 01 }
        $shrouded_key_bag = { 06 0B 2A 86 48 86 F7 0D 01 0C 0A 01 02 }
    condition:
        ($definite at 0 or $indefinite at 0) and any of ($key_bag, $shrouded_key_bag)
}
