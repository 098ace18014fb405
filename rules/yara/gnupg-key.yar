// libgcrypt S-expressions in private-keys-v1.d, canonical form and the extended one of GnuPG 2.3 (agent/keyformat.txt).
rule gnupg_agent_key
{
    meta:
        id = "gnupg.agent-key"
        name = "Private key of the GnuPG agent"
        kind = "secret"
        severity = "high"
        confidence = "high"
        why = "Signs and decrypts as its owner; protected-private-key says that a passphrase guards it."
        fix = "Revoke the key, publish the revocation, and make a new one."
        reference = "https://www.gnupg.org/documentation/manuals/gnupg/Agent-Configuration.html"
    strings:
        $canonical = /\((11:private-key|21:protected-private-key)\((3:rsa|3:dsa|3:elg|3:ecc)/
        $created = "Created: 20"
        $extended = /Key: \((protected-)?private-key \((rsa|dsa|elg|ecc)/
    condition:
        $canonical at 0 or $extended at 0 or ($created at 0 and $extended in (0..1024))
}
